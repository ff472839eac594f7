#include "zoo/cpu/isa.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "zoo/core/error.h"
#include "zoo/core/process.h"

namespace zoo {
namespace {

bool machine_has(const std::string& level) {
  if (level == "avx512") return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
  if (level == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return true;
}

// This program again, under ZOO_ISA=level, running the tests that `filter` names.
ProcessResult run_under(const std::string& level, const std::string& filter) {
  return run_process({.arguments = {"/proc/self/exe", "--gtest_brief=1", "--gtest_filter=" + filter},
                      .environment = {"ZOO_ISA=" + level, "ZOO_EXPECTED_ISA=" + level}});
}

TEST(Isa, TheForcedOneIsTheOneThatRuns) {
  if (const char* expected = std::getenv("ZOO_EXPECTED_ISA")) {
    EXPECT_EQ(isa_name(), expected);  // in the processes started below
    return;
  }
  for (const std::string level : {"sse4", "avx2", "avx512"}) {
    if (!machine_has(level)) continue;
    const ProcessResult result = run_under(level, "Isa.TheForcedOneIsTheOneThatRuns");
    EXPECT_EQ(result.exit_code, 0) << level << '\n' << result.output << result.error;
    EXPECT_THAT(result.output, testing::HasSubstr("PASSED")) << level;
  }
}

// What vectors of other widths could get wrong: accuracy, rests that do not fill a vector, and the ends of arrays.
TEST(Isa, EveryOneComputesTheSame) {
  if (std::getenv("ZOO_EXPECTED_ISA") != nullptr) GTEST_SKIP() << "runs in the process that starts the others";
  for (const std::string level : {"sse4", "avx2", "avx512"}) {
    if (!machine_has(level) || level == isa_name()) continue;
    const ProcessResult result = run_under(level,
                                           "VectorMath.*:OpValues.*:OpHarness.Float32AgreesWithFloat64/*:"
                                           "OpHarness.ReadsAndWritesOnlyWhatIsItsOwn/*-*/linear_cross_entropy");
    EXPECT_EQ(result.exit_code, 0) << level << '\n' << result.output << result.error;
  }
}

TEST(Isa, IsOneOfThree) {
  EXPECT_THAT(isa_name(), testing::AnyOf("sse4", "avx2", "avx512"));
  EXPECT_TRUE(machine_has(isa_name()));
}

TEST(Isa, AnUnknownOneIsAUsageError) {
  if (const char* given = std::getenv("ZOO_ISA"); given != nullptr && std::string(given) == "mmx") {
    try {
      isa_name();
      FAIL() << "isa_name() under ZOO_ISA=mmx";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(),
                  testing::AllOf(testing::HasSubstr("'mmx'"), testing::HasSubstr("sse4, avx2 or avx512")));
    }
    return;
  }
  const ProcessResult result = run_under("mmx", "Isa.AnUnknownOneIsAUsageError");
  EXPECT_EQ(result.exit_code, 0) << result.output << result.error;
}

}  // namespace
}  // namespace zoo
