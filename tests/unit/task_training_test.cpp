// Every registered task can be trained on: whatever its inputs and its head, a small model learns one batch of it, and
// its answers are scored.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "zoo/core/task.h"
#include "zoo/train/trainer.h"

namespace zoo {
namespace {

using nlohmann::json;

RunSpec run_of(const TaskEntry& task, const json& options) {
  const json part = {{"examples", 8}};
  return {.subject = {{"layer", "attention"}, {"layer_options", json::object()}},
          .axes = {{"d_model", 32},
                   {"lr", 3e-3},
                   {"seed", 1},
                   {"cell", {{"batch_size", 8}, {"train", {part}}, {"test", {part}}}}},
          .setting = {{"task", task.name},
                      {"task_options", options},
                      {"epochs", 1},
                      {"stop_accuracy", nullptr},
                      {"backbone", "transformer"},
                      {"backbone_options", json::object()},
                      {"feed_forward", "swiglu"},
                      {"feed_forward_options", json::object()},
                      {"blocks", 2},
                      {"optimizer",
                       {{"name", "adamw"}, {"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}, {"weight_decay", 0}}},
                      {"schedule", {{"name", "constant"}, {"by", "epoch"}, {"warmup", 0}, {"final", 0}}},
                      {"clip", nullptr},
                      {"precision", "f32"},
                      {"tied_head", false}}};
}

class TaskTraining : public testing::TestWithParam<std::string> {};

TEST_P(TaskTraining, AModelLearnsOneBatch) {
  const TaskEntry& task = task_registry().get(GetParam());
  for (const json& options : task.test_cases) {
    SCOPED_TRACE(options.dump());
    // Attention over more positions would take all the time there is for tests.
    if (make_task(task.name, options)->seq_len() > 1000) continue;
    const RunSettings settings = read_settings(run_of(task, options));
    Trainer trainer(settings);
    Batch batch;
    std::vector<std::uint64_t> indices(8);
    std::iota(indices.begin(), indices.end(), 0);
    fill_batch(*settings.train[0].task, Split::train, 0, indices, batch);
    const double first = trainer.step(batch, 0);
    ASSERT_TRUE(std::isfinite(first));
    double last = first;
    for (int step = 1; step < 30; ++step) last = trainer.step(batch, step);
    EXPECT_LT(last, 0.9 * first);

    const Scores scores = trainer.evaluate(batch);
    EXPECT_EQ(scores.all.labelled, static_cast<std::int64_t>(batch.row_labels.size()));
    EXPECT_LT(scores.all.mean_loss(), 0.9 * first);
    const json metrics = metrics_of(*settings.train[0].task, scores);
    std::int64_t grouped = 0;
    for (const json& group : metrics.value("groups", json::array()))
      grouped += group.at("labelled").get<std::int64_t>();
    EXPECT_EQ(grouped, settings.train[0].task->groups().empty() ? 0 : scores.all.labelled);
  }
}

INSTANTIATE_TEST_SUITE_P(Registered, TaskTraining, testing::ValuesIn(task_registry().names()),
                         [](const testing::TestParamInfo<std::string>& tested) { return tested.param; });

}  // namespace
}  // namespace zoo
