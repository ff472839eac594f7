#include <gmock/gmock.h>

#include "tests/cli/command.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::vector<std::string> with_sample = {"--plugin", std::string(ZOO_PLUGINS) + "/token_shift.so"};

ProcessResult layers(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "layers");
  arguments.insert(arguments.end(), with_sample.begin(), with_sample.end());
  return run_zoo(arguments);
}

TEST(Layers, DescribesOneForPeople) {
  const ProcessResult result = layers({"token_shift"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("token_shift: each token mixed"), HasSubstr("Paper: Peng et al."),
                                   HasSubstr("shift=1  how many tokens back (a whole number from 1 to 4096)")));
}

// Every layer, feed-forward and backbone can be described, alone and in the list, in the same words.
TEST(Layers, JsonOfAllIsTheJsonOfEach) {
  const auto all = nlohmann::json::parse(layers({"--json"}).output);
  ASSERT_FALSE(all["layers"].empty());
  for (const std::string kind : {"layer", "feed_forward", "backbone"}) {
    for (const auto& layer : all[kind + "s"]) {
      const std::string name = kind + ":" + layer["name"].get<std::string>();
      EXPECT_EQ(nlohmann::json::parse(layers({name, "--json"}).output), layer) << name;
      EXPECT_FALSE(layer["description"].get<std::string>().empty()) << name;
    }
  }
}

TEST(Layers, WrongUse) {
  const ProcessResult typo = layers({"tokenshift"});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_THAT(typo.error, HasSubstr("unknown layer 'tokenshift'; did you mean 'token_shift'?"));
  EXPECT_EQ(layers({"--jsn"}).exit_code, 2);
  EXPECT_EQ(layers({"token_shift", "attention"}).exit_code, 2);
  EXPECT_EQ(layers({"--help"}).exit_code, 0);
}

}  // namespace
}  // namespace zoo::test
