#include <gmock/gmock.h>

#include "tests/cli/command.h"

namespace zoo::test {
namespace {

using testing::HasSubstr;

std::vector<std::string> small_step(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"bench",        "step", "--d-model",    "8", "--seq-len", "16",
                                        "--kv-pairs",   "2",    "--batch-size", "6", "--steps",   "4",
                                        "--vocab-size", "32",   "--threads",    "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(BenchStep, PrintsOneJsonObjectWhoseNumbersAgree) {
  const ProcessResult result = run_zoo(small_step({"--json", "--profile", "--blocks", "1", "--warmup", "0"}));
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const auto report = nlohmann::json::parse(result.output);
  const auto number = [&](const char* name) { return report.at(name).get<double>(); };
  EXPECT_GT(number("sequences_per_second"), 0);
  EXPECT_NEAR(number("tokens_per_second") / number("sequences_per_second"), 16, 1e-9);
  EXPECT_NEAR(number("gflops") / number("sgemm_gflops"), number("sgemm_share"), 1e-9);
  // GFLOP/s = GFLOP a step * steps/s, and a step has 6 sequences.
  EXPECT_NEAR(number("gflop_per_step") * number("sequences_per_second") / 6 / number("gflops"), 1, 1e-9);
  EXPECT_LE(report.at("step_milliseconds").at("min"), report.at("step_milliseconds").at("median"));
  EXPECT_EQ(report.at("steps"), 4);
  EXPECT_EQ(report.at("environment").at("threads"), 1);
  // The paper's attention, unless said otherwise.
  const auto& options = report.at("subject").at("layer_options").at("attention");
  EXPECT_EQ(options.at("positions"), "learned");
  EXPECT_EQ(options.at("bias"), true);
  EXPECT_EQ(options.at("dropout"), 0.1);

  // Useful work of one sequence, T 16, d 8, 2 labelled rows, V 32, forward and backward (3 times the forward): the
  // head; the projections, k and v at 16 positions, q and the output at the labelled ones alone; scores and values over
  // the past of the labelled positions, which lie in 4 .. 15.
  const double flops = 1e9 * number("gflop_per_step") / 6;
  const double linear = 3 * (2.0 * 2 * 8 * 32 + 2.0 * 8 * 8 * (2 * 16 + 2 * 2));
  EXPECT_GE(flops, linear + 3 * 2 * (2.0 * 8) * 2 * 5);
  EXPECT_LE(flops, linear + 3 * 2 * (2.0 * 8) * 2 * 16);

  double milliseconds = 0;
  std::vector<std::string> names;
  for (const auto& entry : report.at("profile")) {
    milliseconds += entry.at("milliseconds").get<double>();
    names.push_back(entry.at("name").get<std::string>());
  }
  EXPECT_THAT(names,
              testing::IsSupersetOf({"make batch", "linear_cross_entropy", "layer_norm", "adamw", "outside ops"}));
  EXPECT_NEAR(milliseconds / (1e3 * 6 / number("sequences_per_second")), 1, 0.05);
}

TEST(BenchStep, PrintsTextByDefault) {
  const ProcessResult result = run_zoo(small_step({"--profile"}));
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr("sequences/s"));
  EXPECT_THAT(result.output, HasSubstr("share of them"));
  EXPECT_THAT(result.output, HasSubstr("linear_cross_entropy"));
}

TEST(BenchStep, RefusesWhatItCannotMeasure) {
  const auto expect_refused = [](std::vector<std::string> more, const std::string& message) {
    const ProcessResult result = run_zoo(small_step(std::move(more)));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.error, HasSubstr(message));
  };
  expect_refused({"--steps", "5"}, "--steps");  // twice
  expect_refused({"--layer", "attention,base_conv"}, "one setting and was given 2");
  expect_refused({"--layer", "atention"}, "did you mean 'attention'");
  expect_refused({"--stesp", "5"}, "did you mean 'steps'");
  expect_refused({"--option", "heads=3"}, "heads");
  expect_refused({"--warmup", "-1"}, "--warmup");
  expect_refused({"--lr", "nan"}, "--lr");
  expect_refused({"--task-option", "num_passes=5"}, "seq_len 16 is too short");
}

TEST(Bench, NamesItsBenchmarks) {
  EXPECT_THAT(run_zoo({"bench", "--help"}).output, HasSubstr("  step "));
  EXPECT_EQ(run_zoo({"bench"}).exit_code, 2);
  EXPECT_THAT(run_zoo({"bench", "stpe"}).error, HasSubstr("did you mean 'step'"));
  EXPECT_THAT(run_zoo({"bench", "step", "--help"}).output, HasSubstr("--profile"));
}

}  // namespace
}  // namespace zoo::test
