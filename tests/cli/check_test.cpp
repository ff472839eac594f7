#include <gmock/gmock.h>

#include "tests/cli/command.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string sample = std::string(ZOO_PLUGINS) + "/token_shift.so";

TEST(Check, TableOfAPlugin) {
  const ProcessResult result = run_zoo({"check", "token_shift", "--plugin", sample});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.error;
  EXPECT_THAT(result.output, AllOf(ContainsRegex("gradient +passed"), ContainsRegex("causality +passed"),
                                   ContainsRegex("devices +skipped"), HasSubstr("0 failed")));
}

TEST(Check, JsonIsOneObjectWithEveryFinding) {
  const ProcessResult result =
      run_zoo({"check", "mlp", "--json", "--seed", "3", "--check", "gradient", "--check", "positionwise"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  const auto report = nlohmann::json::parse(result.output);
  EXPECT_EQ(report["passed"], true);
  EXPECT_EQ(report["seed"], 3);
  ASSERT_EQ(report["layers"].size(), 1U);
  EXPECT_EQ(report["layers"][0]["name"], "mlp");
  const auto& findings = report["layers"][0]["findings"];
  ASSERT_EQ(findings.size(), 4U);  // two checks of two cases
  for (const auto& finding : findings) {
    EXPECT_EQ(finding["result"], "passed") << finding;
    EXPECT_LE(finding["measured"].get<double>(), finding["bound"].get<double>()) << finding;
  }
  EXPECT_EQ(findings[3]["again"], "zoo check mlp --check positionwise --case 2 --seed 3");
}

TEST(Check, AllTakesEveryLayerAndFeedForward) {
  const ProcessResult result = run_zoo({"check", "all", "--check", "parameters", "--plugin", sample});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.error;
  const auto listed = nlohmann::json::parse(run_zoo({"layers", "--json", "--plugin", sample}).output);
  for (const char* kind : {"layers", "feed_forwards"}) {
    ASSERT_FALSE(listed[kind].empty());
    for (const auto& layer : listed[kind]) {
      EXPECT_THAT(result.output, HasSubstr(layer["name"].get<std::string>() + ": "));
    }
  }
}

TEST(Check, AFailureIsTold) {
  const std::string plugin = std::string(ZOO_PLUGINS) + "/looks_ahead.so";
  const ProcessResult result = run_zoo({"check", "looks_ahead", "--plugin", plugin, "--check", "causality"});
  EXPECT_EQ(result.exit_code, 1) << result.error;
  EXPECT_THAT(result.output,
              AllOf(ContainsRegex("causality +failed"), HasSubstr("FAILED causality in case 2 (d_model 7"),
                    ContainsRegex("Again: zoo check looks_ahead --plugin [^ ]*looks_ahead.so "
                                  "--check causality --case 2 --seed 0\n")));
}

TEST(Check, WrongUsage) {
  const auto expect_error = [](const std::vector<std::string>& arguments, const std::string& words) {
    const ProcessResult result = run_zoo(arguments);
    EXPECT_EQ(result.exit_code, 2) << words;
    EXPECT_THAT(result.output, IsEmpty());
    EXPECT_THAT(result.error, HasSubstr(words));
  };
  expect_error({"check"}, "needs a layer's name");
  expect_error({"check", "atention"}, "did you mean 'attention'");
  expect_error({"check", "mlp", "swiglu"}, "takes one layer");
  expect_error({"check", "mlp", "--chek", "gradient"}, "did you mean '--check'");
  expect_error({"check", "mlp", "--check", "gradients", "--json"}, "did you mean 'gradient'");
  expect_error({"check", "mlp", "--case", "0"}, "--case");
  expect_error({"check", "mlp", "--case", "9", "--json"}, "numbered from 1 to 2");
  expect_error({"check", "all", "--case", "1"}, "name the layer");
  expect_error({"check", "mlp", "--seed", "x"}, "--seed");
}

TEST(Check, HelpNamesTheChecks) {
  const ProcessResult result = run_zoo({"check", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, AllOf(HasSubstr("causality"), HasSubstr("state_bytes"), HasSubstr("Usage: zoo check")));
}

}  // namespace
}  // namespace zoo::test
