#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/command.h"
#include "tests/unit/report_runs.h"
#include "zoo/io/store.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Report : public testing::Test {
 protected:
  void record(const std::vector<zoo::Run>& runs) const {
    Store store(folder_ / "runs.db");
    for (const zoo::Run& run : runs) {
      store.begin(run.spec, run.environment);
      for (const EpochResult& epoch : run.epochs) store.add_epoch(run.id, epoch);
      store.finish(run.id, run.status, run.message, run.summary, run.slices);
    }
  }
  ProcessResult report(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), "report");
    return run_zoo(arguments, {.directory = folder_.path()});
  }
  TemporaryDirectory folder_;
};

TEST_F(Report, ShowsTheTableAndWritesTheFiles) {
  record({RunBuilder{.test = 0.25}.build(), RunBuilder{.layer = "base_conv", .options = {{"conv_kernel", 3}}}.build()});
  const ProcessResult result = report();
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.output, AllOf(HasSubstr("attention"), HasSubstr("0.250"), HasSubstr("out/report/report.html")));
  // Options that have their defaults are not named; the layers are registered here.
  EXPECT_THAT(result.output, testing::Not(HasSubstr("conv_kernel")));
  EXPECT_THAT(read_file(folder_.path() / "out/report/report.html"), HasSubstr("</html>"));
  EXPECT_THAT(read_file(folder_.path() / "out/report/results.csv"), HasSubstr(",0.25,"));
  EXPECT_EQ(nlohmann::json::parse(read_file(folder_.path() / "out/report/results.json"))["runs"].size(), 2u);
  EXPECT_EQ(report({"--store", "runs.db", "--out", "a/b"}).exit_code, 0);
  EXPECT_EQ(read_file(folder_.path() / "a/b/report.html"), read_file(folder_.path() / "out/report/report.html"));
}

TEST_F(Report, AnEmptyStoreIsNoError) {
  record({});
  const ProcessResult result = report();
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr("no runs yet"));
}

TEST_F(Report, WrongUsageIsExplained) {
  ProcessResult result = report({"--store", "none.db"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr("none.db"), HasSubstr("zoo recall")));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out"));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--stroe", "x"}, {"runs.db"}, {"--out", ""}, {"--store"}}) {
    result = report(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments[0];
    EXPECT_THAT(result.error, HasSubstr("--out")) << arguments[0];
  }
  write_file(folder_ / "text.db", "hello");
  result = report({"--store", "text.db"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, HasSubstr("not an SQLite database"));
  result = report({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, HasSubstr("--store"));
}

TEST_F(Report, WhatCannotBeWrittenIsNamed) {
  record({RunBuilder{}.build()});
  write_file(folder_ / "file", "");
  const ProcessResult result = report({"--out", "file"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error, AllOf(HasSubstr("'file'"), HasSubstr("--out")));
}

}  // namespace
}  // namespace zoo::test
