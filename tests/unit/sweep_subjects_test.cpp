#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/nn/model.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/presets.h"
#include "zoo/sweep/subjects.h"

namespace zoo {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

using Values = std::vector<std::pair<std::string, std::string>>;

std::vector<RunSpec> plan(Values given) {
  given.insert(given.end(), {{"d-model", "32"}, {"lr", "0.01"}});
  return plan_runs(read_sweep_settings({find_preset("quick").settings, {.origin = "a test", .values = given}}));
}

TEST(SweepSubjects, AListOfValuesOfAnOptionMultiplies) {
  const auto runs = plan(
      {{"layers", "attention"}, {"layer-option", "attention.window=8,16,0"}, {"layer-option", "attention.heads=1,2"}});
  ASSERT_EQ(runs.size(), 6U);
  std::vector<std::string> seen;
  for (const RunSpec& run : runs) {
    const json& options = run.subject.at("layer_options").at("attention");
    seen.push_back(options.at("heads").dump() + " " + options.at("window").dump());
  }
  EXPECT_THAT(seen, ElementsAre("1 8", "1 16", "1 0", "2 8", "2 16", "2 0"));
  EXPECT_THAT(describe_runs(runs).front(), StartsWith("attention (heads=1, window=8) d_model 32"));
  EXPECT_THAT(describe_run(runs.front()), StartsWith("attention (window=8) d_model 32"));
}

TEST(SweepSubjects, APartOfAHybridHasOptionsOfItsOwn) {
  const auto runs = plan({{"layers", "base_conv,base_conv+base_conv"},
                          {"layer-option", "base_conv.conv_kernel=4"},
                          {"layer-option", "base_conv#2.conv_kernel=-1"}});
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].subject.at("layer_options"), (json{{"base_conv", {{"conv_kernel", 4}}}}));
  EXPECT_EQ(runs[1].subject.at("layer_options"),
            (json{{"base_conv", {{"conv_kernel", 4}}}, {"base_conv#2", {{"conv_kernel", -1}}}}));
}

TEST(SweepSubjects, TheModelGivesEachPartItsOwnOptions) {
  ModelSpec spec{.layer = "base_conv+base_conv",
                 .layer_options = {{"base_conv", {{"conv_kernel", 5}}}, {"base_conv#2", {{"conv_kernel", -1}}}},
                 .blocks = 3,
                 .d_model = 8,
                 .vocab_size = 16,
                 .max_length = 8};
  std::vector<std::string> shapes;
  const Model model(spec, 0);
  for (const Parameter& parameter : model.parameters()) {
    const std::string& name = parameter.spec().name;
    if (name.find("conv.conv.weight") != std::string::npos || name.find("filter_mlp.0.weight") != std::string::npos) {
      shapes.push_back(name + " " + parameter.spec().shape.str());
    }
  }
  EXPECT_THAT(shapes, ElementsAre("blocks.0.mixer.conv.conv.weight [8, 1, 5]",
                                  "blocks.1.mixer.conv.filter_mlp.0.weight [16, 3]",
                                  "blocks.2.mixer.conv.conv.weight [8, 1, 5]"));
  spec.layer_options = {{"base_conv#3", {{"conv_kernel", 5}}}};
  EXPECT_THAT([&] { Model(spec, 0); }, ThrowsMessage<UsageError>(HasSubstr("'base_conv#3', which is no part of")));
}

TEST(SweepSubjects, WhatMakesNoSenseIsRefused) {
  const auto refused = [](const std::string& option) {
    return [option] { plan({{"layers", "base_conv+attention"}, {"layer-option", option}}); };
  };
  EXPECT_THAT(refused("attention.window=8,8"), ThrowsMessage<UsageError>(HasSubstr("lists 8 twice")));
  EXPECT_THAT(refused("attention.dropout=0,0.0"), ThrowsMessage<UsageError>(HasSubstr("the same options twice")));
  EXPECT_THAT(refused("attention.window=8,,9"), ThrowsMessage<UsageError>(HasSubstr("empty place")));
  EXPECT_THAT(refused("attention.window=8,x"), ThrowsMessage<UsageError>(HasSubstr("window")));
  EXPECT_THAT(refused("attention#1.window=8"), ThrowsMessage<UsageError>(HasSubstr("for a layer that is not among")));
  EXPECT_THAT(refused("base_conv#3.conv_kernel=8"),
              ThrowsMessage<UsageError>(HasSubstr("for a layer that is not among")));
}

}  // namespace
}  // namespace zoo
