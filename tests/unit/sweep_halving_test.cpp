#include <gmock/gmock.h>

#include <set>

#include "zoo/core/error.h"
#include "zoo/sweep/halving.h"

namespace zoo {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

RunSpec run_of(double rate, int seed, const std::string& layer = "attention") {
  return {.subject = {{"layer", layer}},
          .axes = {{"d_model", 16}, {"lr", rate}, {"seed", seed}, {"cell", json::object()}},
          .setting = {{"task", "mqar"}, {"search", {{"name", "halving"}, {"rungs", {2, 4}}}}}};
}

EpochResult result(std::int64_t epoch, double accuracy, double loss = 1) {
  return {.epoch = epoch, .train_loss = 0, .validation_loss = loss, .validation_accuracy = accuracy};
}

// Makes every stage in line: `accuracy(job, epoch)` is what a run reaches. What was made, in order.
template <typename Accuracy>
std::vector<Stage> make_all(Stages& stages, std::int64_t epochs, const Accuracy& accuracy) {
  std::vector<Stage> made;
  std::map<std::size_t, std::int64_t> done;
  while (!stages.empty()) {
    const Stage stage = stages.next();
    made.push_back(stage);
    const std::int64_t until = stage.pause_after > 0 ? stage.pause_after
                               : stage.end_after > 0 ? stage.end_after
                                                     : epochs;
    for (std::int64_t& at = done[stage.job]; at < until; ++at) {
      stages.epoch(stage.job, result(at + 1, accuracy(stage.job, at + 1)));
    }
    stage.pause_after > 0 ? stages.paused(stage.job) : stages.ended(stage.job, true);
  }
  return made;
}

// The epochs that each run had.
std::map<std::size_t, std::int64_t> lengths(const std::vector<Stage>& made, std::int64_t epochs) {
  std::map<std::size_t, std::int64_t> all;
  for (const Stage& stage : made) {
    if (stage.pause_after == 0) all[stage.job] = stage.end_after > 0 ? stage.end_after : epochs;
  }
  return all;
}

TEST(Halving, RungsHalveUntilOneIsLeft) {
  EXPECT_THAT(halving_rungs(2, 16), ElementsAre(8));
  EXPECT_THAT(halving_rungs(3, 16), ElementsAre(4, 8));
  EXPECT_THAT(halving_rungs(4, 16), ElementsAre(4, 8));
  EXPECT_THAT(halving_rungs(5, 16), ElementsAre(2, 4, 8));
  EXPECT_THAT(halving_rungs(4, 4), ElementsAre(1, 2));
  EXPECT_THAT([] { halving_rungs(1, 16); }, ThrowsMessage<UsageError>(HasSubstr("one learning rate")));
  EXPECT_THAT([] { halving_rungs(4, 3); }, ThrowsMessage<UsageError>(HasSubstr("at least 4 epochs")));
}

TEST(Halving, TheBetterHalfGoesOn) {
  const std::vector<double> rates = {0.1, 0.01, 0.001, 0.0001};
  std::vector<RunSpec> runs;
  for (const double rate : rates) runs.push_back(run_of(rate, 0));
  Stages stages(runs);
  stages.begin();
  // 0.01 leads at first, 0.001 later; the others never.
  const auto made = make_all(stages, 8, [](std::size_t job, std::int64_t epoch) {
    if (job == 1) return 0.5;
    return job == 2 ? 0.2 * static_cast<double>(epoch) : 0.1;
  });
  EXPECT_EQ(lengths(made, 8), (std::map<std::size_t, std::int64_t>{{0, 2}, {1, 4}, {2, 8}, {3, 2}}));
}

TEST(Halving, SeedsAreJudgedTogether) {
  std::vector<RunSpec> runs;
  for (const int seed : {0, 1}) {
    for (const double rate : {0.1, 0.01}) runs.push_back(run_of(rate, seed));
  }
  for (RunSpec& run : runs) run.setting["search"]["rungs"] = {2};
  Stages stages(runs);
  stages.begin();
  // 0.1 is best with one seed and worst with the other; 0.01 is better on the mean.
  const double accuracies[] = {0.9, 0.6, 0.1, 0.6};
  const auto made = make_all(stages, 4, [&](std::size_t job, std::int64_t) { return accuracies[job]; });
  EXPECT_EQ(lengths(made, 4), (std::map<std::size_t, std::int64_t>{{0, 2}, {1, 4}, {2, 2}, {3, 4}}));
}

TEST(Halving, ADivergedRateIsTheWorst) {
  std::vector<RunSpec> runs = {run_of(0.1, 0), run_of(0.01, 0)};
  for (RunSpec& run : runs) run.setting["search"]["rungs"] = {2};
  Stages stages(runs);
  stages.begin();
  ASSERT_EQ(stages.next().job, 0U);
  stages.epoch(0, result(1, 0.9));
  stages.ended(0, false);
  ASSERT_EQ(stages.next().job, 1U);
  stages.epoch(1, result(1, 0.0));
  stages.epoch(1, result(2, 0.0));
  stages.paused(1);
  ASSERT_FALSE(stages.empty());
  const Stage last = stages.next();
  EXPECT_EQ(last.job, 1U);
  EXPECT_EQ(last.end_after, 0) << "it goes on to its end";
  EXPECT_TRUE(stages.empty());
}

TEST(Halving, LayersAndRunsWithoutSearchDoNotWaitForEachOther) {
  std::vector<RunSpec> runs = {run_of(0.1, 0), run_of(0.01, 0), run_of(0.1, 0, "mamba"), run_of(0.01, 0, "mamba"),
                               run_of(0.1, 0, "gla")};
  runs.back().setting.erase("search");
  Stages stages(runs);
  stages.begin();
  std::vector<Stage> first;
  while (!stages.empty()) first.push_back(stages.next());
  ASSERT_EQ(first.size(), 5U);
  EXPECT_EQ(first.back().pause_after, 0);
  for (const std::size_t job : {2U, 3U}) {
    stages.epoch(job, result(2, job == 2 ? 0.5 : 0.1));
    stages.paused(job);
  }
  EXPECT_FALSE(stages.empty()) << "mamba has both of its runs, whatever attention's do";
  EXPECT_EQ(stages.next().job, 3U);
}

// A sweep that goes on knows what the store has, and decides as if it had never stopped.
TEST(Halving, WhatIsKnownFromTheStoreCounts) {
  const std::vector<RunSpec> runs = {run_of(0.1, 0), run_of(0.01, 0), run_of(0.001, 0), run_of(0.0001, 0)};
  Stages stages(runs);
  stages.know(0, {result(1, 0.1), result(2, 0.9)}, false, true);
  stages.know(1, {result(1, 0.1), result(2, 0.1)}, true, true);
  stages.know(2, {result(1, 0.5), result(2, 0.8), result(3, 0.8)}, false, true);
  stages.know(3, {result(1, 0.5), result(2, 0.2)}, false, true);
  stages.begin();
  std::set<std::size_t> pausing;
  while (!stages.empty()) {
    const Stage stage = stages.next();
    if (stage.pause_after == 4) pausing.insert(stage.job);
    EXPECT_EQ(stage.end_after, stage.job == 3 ? 2 : 0);
    EXPECT_NE(stage.job, 1U) << "it is finished";
  }
  EXPECT_EQ(pausing, (std::set<std::size_t>{0, 2}));
}

}  // namespace
}  // namespace zoo
