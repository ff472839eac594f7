#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "zoo/core/error.h"
#include "zoo/sweep/presets.h"
#include "zoo/sweep/settings.h"

namespace zoo {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Values = std::vector<std::pair<std::string, std::string>>;

SweepSettings preset_with(const std::string& preset, const Values& given) {
  return read_sweep_settings({find_preset(preset).settings, {.origin = "the command line", .values = given}});
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

std::string refusal(const Values& given, const std::string& preset = "quick") {
  return message_of([&] { preset_with(preset, given); });
}

TEST(SweepPresets, Figure2IsThePapersSweep) {
  const SweepSettings settings = preset_with("figure2", {});
  EXPECT_THAT(settings.d_model, ElementsAre(64, 128, 256, 512));
  ASSERT_EQ(settings.lr.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(settings.lr[i], std::pow(10.0, -4 + 2 * double(i) / 3));
  EXPECT_EQ(settings.epochs, 64);
  EXPECT_EQ(settings.stop_accuracy, 0.99);
  EXPECT_EQ(settings.weight_decay, 0.1);
  EXPECT_EQ(settings.blocks, 2);
  EXPECT_EQ(settings.backbone, "recall");
  EXPECT_EQ(settings.feed_forward, "none");
  EXPECT_EQ(settings.task_options.at("vocab_size"), "8192");
  EXPECT_EQ(settings.layer_options.at("attention").at("positions"), "learned");
  EXPECT_EQ(settings.layer_options.at("attention").at("dropout"), "0.1");
  EXPECT_EQ(settings.layer_options.at("nadaraya_watson").at("positions"), "learned");
  EXPECT_THAT(settings.cells, ElementsAre(Cell{512, {{64, 4, 100000}}, {{64, 4, 3000}}},
                                          Cell{512, {{128, 8, 100000}}, {{128, 8, 3000}}},
                                          Cell{256, {{256, 16, 100000}}, {{256, 16, 3000}}},
                                          Cell{128, {{512, 64, 100000}}, {{512, 64, 3000}}}));
}

TEST(SweepPresets, RecallMemoryIsOneMixture) {
  const SweepSettings settings = preset_with("recall-memory", {});
  ASSERT_EQ(settings.cells.size(), 1U);
  const Cell& cell = settings.cells.front();
  EXPECT_EQ(cell.batch_size, 256);
  EXPECT_THAT(cell.train, ElementsAre(CellPart{64, 4, 100000}, CellPart{128, 8, 20000}, CellPart{256, 16, 20000},
                                      CellPart{256, 32, 20000}, CellPart{256, 64, 20000}));
  EXPECT_THAT(cell.test,
              ElementsAre(CellPart{64, 4, 1000}, CellPart{64, 8, 1000}, CellPart{64, 16, 1000}, CellPart{128, 32, 1000},
                          CellPart{256, 64, 1000}, CellPart{512, 128, 1000}, CellPart{1024, 256, 1000}));
  ASSERT_EQ(settings.lr.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(settings.lr[i], std::pow(10.0, -3 + double(i) / 2));
  EXPECT_EQ(settings.epochs, 32);
  EXPECT_EQ(settings.task_options.at("random_non_queries"), "true");
  EXPECT_FALSE(settings.layer_options.at("attention").contains("positions"));
  for (const std::string& layer : settings.layers) EXPECT_TRUE(layer.starts_with("base_conv+")) << layer;
}

TEST(SweepPresets, Figure2SmallIsItsShorterHalf) {
  const SweepSettings settings = preset_with("figure2-small", {});
  EXPECT_THAT(settings.layers, ElementsAre("attention", "linear_attention", "nadaraya_watson", "base_conv+base_conv"));
  EXPECT_THAT(settings.d_model, ElementsAre(64, 128));
  EXPECT_EQ(settings.lr.size(), 3U);
  EXPECT_EQ(settings.epochs, 16);
  EXPECT_EQ(settings.task_options.at("vocab_size"), "1024");
  EXPECT_THAT(settings.cells,
              ElementsAre(Cell{64, {{64, 4, 20000}}, {{64, 4, 1000}}}, Cell{64, {{128, 8, 20000}}, {{128, 8, 1000}}}));
}

TEST(SweepPresets, EachCanBeReadAndIsFoundByNameOnly) {
  for (const Preset& preset : presets()) {
    EXPECT_NO_THROW(preset_with(preset.name, {})) << preset.name;
    EXPECT_FALSE(preset.description.empty()) << preset.name;
  }
  EXPECT_THAT(message_of([] { find_preset("figure-2"); }), AllOf(HasSubstr("figure-2"), HasSubstr("figure2")));
}

TEST(SweepSettings, LaterSourcesWinNameByNameAndKeyByKey) {
  const SweepSettings settings = read_sweep_settings(
      {find_preset("quick").settings,
       {.origin = "a file", .values = {{"epochs", "3"}, {"lr", "0.1"}, {"layer-option", "attention.heads=2"}}},
       {.origin = "the command line", .values = {{"lr", "0.2,0.3"}, {"layer-option", "attention.positions=rope"}}}});
  EXPECT_EQ(settings.epochs, 3);
  EXPECT_THAT(settings.lr, ElementsAre(0.2, 0.3));
  EXPECT_EQ(settings.layer_options.at("attention").at("heads"), "2");
  EXPECT_EQ(settings.layer_options.at("attention").at("positions"), "rope");
}

TEST(SweepSettings, PresetOptionsOfAbsentLayersAreLeftOutButNotTheUsers) {
  const SweepSettings settings = preset_with("quick", {{"layers", "base_conv"}});
  EXPECT_TRUE(settings.layer_options.empty());
  EXPECT_THAT(refusal({{"layers", "base_conv"}, {"layer-option", "attention.heads=2"}}),
              AllOf(HasSubstr("attention.heads=2"), HasSubstr("not among those asked for"), HasSubstr("base_conv")));
  const SweepSettings hybrid = preset_with("quick", {{"layers", "base_conv+attention"}});
  EXPECT_TRUE(hybrid.layer_options.contains("attention"));
}

TEST(SweepSettings, OptionBelongsToTheOneLayer) {
  const SweepSettings settings = preset_with("quick", {{"layers", "attention"}, {"option", "heads=2"}});
  EXPECT_EQ(settings.layer_options.at("attention").at("heads"), "2");
  EXPECT_EQ(settings.layer_options.at("attention").at("positions"), "learned");
  EXPECT_THAT(refusal({{"option", "heads=2"}}), HasSubstr("--layer-option LAYER.OPTION=VALUE"));
  EXPECT_THAT(refusal({{"layers", "base_conv+attention"}, {"option", "heads=2"}}), HasSubstr("one layer"));
  EXPECT_THAT(refusal({{"layers", "attention"}, {"option", "heads=2"}, {"layer-option", "attention.heads=4"}}),
              HasSubstr("say it once"));
}

TEST(SweepSettings, AnotherBackboneDropsThePresetsOptions) {
  EXPECT_EQ(preset_with("quick", {}).backbone_options.at("embedding_dropout"), "0");
  EXPECT_EQ(preset_with("quick", {}).backbone_options.at("initial_scale"), "8");
  EXPECT_TRUE(preset_with("quick", {{"backbone", "transformer"}}).backbone_options.empty());
  const SweepSettings mine = preset_with("quick", {{"backbone", "transformer"}, {"embedding-dropout", "0.2"}});
  EXPECT_EQ(mine.backbone_options.at("embedding_dropout"), "0.2");
}

TEST(SweepSettings, LengthsAndPairsGoTogether) {
  const SweepSettings one_length = preset_with("quick", {{"seq-len", "64"}, {"kv-pairs", "4,8,16"}});
  ASSERT_EQ(one_length.cells.size(), 3U);
  EXPECT_EQ(one_length.cells[2].train.front(), (CellPart{64, 16, 20000}));
  const SweepSettings both = preset_with("quick", {{"seq-len", "32,64"}, {"kv-pairs", "4,8"}, {"batch-size", "16,8"}});
  ASSERT_EQ(both.cells.size(), 2U);
  EXPECT_EQ(both.cells[0].batch_size, 16);
  EXPECT_EQ(both.cells[1].batch_size, 8);
  EXPECT_THAT(refusal({{"seq-len", "32,64,128"}, {"kv-pairs", "4,8"}}), AllOf(HasSubstr("3"), HasSubstr("2")));
  EXPECT_THAT(refusal({{"seq-len", "32,64"}, {"batch-size", "1,2,3"}}), HasSubstr("one per cell"));
  EXPECT_THAT(refusal({{"seq-len", "32,32"}}), HasSubstr("twice"));
}

TEST(SweepSettings, MixturesReplaceCellsAndContradictThemInOneSource) {
  const SweepSettings mixture = preset_with("quick", {{"train", "64:4:1000,128:8:2000"}, {"test", "64:4:100"}});
  EXPECT_THAT(mixture.cells, ElementsAre(Cell{32, {{64, 4, 1000}, {128, 8, 2000}}, {{64, 4, 100}}}));
  EXPECT_THAT(refusal({{"train", "64:4:1000"}}), HasSubstr("--test is missing"));
  EXPECT_THAT(refusal({{"train", "64:4:10"}, {"test", "64:4:10"}, {"seq-len", "64"}}), HasSubstr("contradict"));
  EXPECT_THAT(refusal({{"train", "64:4"}, {"test", "64:4:10"}}), HasSubstr("SEQ_LEN:KV_PAIRS:EXAMPLES"));
  EXPECT_THAT(refusal({{"train-examples", "10"}}, "recall-memory"), HasSubstr("describes a mixture"));
  const SweepSettings cells = preset_with(
      "recall-memory", {{"seq-len", "64"}, {"kv-pairs", "4"}, {"train-examples", "10"}, {"test-examples", "5"}});
  EXPECT_THAT(cells.cells, ElementsAre(Cell{256, {{64, 4, 10}}, {{64, 4, 5}}}));
}

struct Wrong {
  std::string name;
  std::string value;
  std::string expected;  // in the message
};

class WrongSetting : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongSetting, IsRefusedWithItsNameAndWhatIsAllowed) {
  const Wrong& wrong = GetParam();
  EXPECT_THAT(refusal({{wrong.name, wrong.value}}), AllOf(HasSubstr("--" + wrong.name), HasSubstr(wrong.expected)));
}

INSTANTIATE_TEST_SUITE_P(
    SweepSettings, WrongSetting,
    ::testing::Values(Wrong{"lr", "nan", "finite"}, Wrong{"lr", "inf", "finite"}, Wrong{"lr", "-0.1", "above zero"},
                      Wrong{"lr", "0", "above zero"}, Wrong{"lr", "fast", "not a number"},
                      Wrong{"lr", "0.1,1e-1", "twice"}, Wrong{"lr", "", "empty"}, Wrong{"layers", "", "empty"},
                      Wrong{"layers", "attention,", "empty place"}, Wrong{"layers", "attention,attention", "twice"},
                      Wrong{"d-model", "64,", "empty place"}, Wrong{"d-model", "0", "at least 1"},
                      Wrong{"d-model", "64.5", "whole number"}, Wrong{"seeds", "-1", "at least 0"},
                      Wrong{"seeds", "1,1", "twice"}, Wrong{"epochs", "0", "at least 1"},
                      Wrong{"batch-size", "0", "at least 1"}, Wrong{"train-examples", "many", "whole number"},
                      Wrong{"stop-accuracy", "1.5", "at most 1"}, Wrong{"stop-accuracy", "nan", "finite"},
                      Wrong{"weight-decay", "-1", "negative"}, Wrong{"blocks", "0", "at least 1"},
                      Wrong{"layer-option", "attention.heads", "LAYER.OPTION=VALUE"},
                      Wrong{"layer-option", "heads=2", "names no layer"}, Wrong{"task-option", "=2", "OPTION=VALUE"},
                      Wrong{"seq-len", "99999999999999999999", "whole number"}));

TEST(SweepSettings, NamesGivenTwiceOrUnknownAreRefused) {
  EXPECT_THAT(refusal({{"lr", "0.1"}, {"lr", "0.2"}}), HasSubstr("twice"));
  EXPECT_THAT(refusal({{"layer-option", "attention.heads=1"}, {"layer-option", "attention.heads=2"}}),
              HasSubstr("twice"));
  EXPECT_THAT(refusal({{"epoch", "2"}}), HasSubstr("epochs"));
}

}  // namespace
}  // namespace zoo
