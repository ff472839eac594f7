// Steps of training given to the GPU as graphs: the same bits as without, whatever the host looks at within them.
#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

#include "tests/unit/lm_testing.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/graph_scope.h"
#include "zoo/lm/run.h"
#include "zoo/lm/sequences.h"
#include "zoo/lm/settings.h"
#include "zoo/ops/ops.h"
#include "zoo/train/trainer.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class Graphs : public testing::Test {
 protected:
  void SetUp() override {
    if (current_device() == Device::cpu) GTEST_SKIP() << "graphs are the GPU's";
  }
  void TearDown() override {
    if (on_gpu()) set_graphs(false);
  }
};

RunSpec small_run(const std::string& layer, const json& options, std::int64_t d_model, const json& clip) {
  const json part = {{"seq_len", 16}, {"kv_pairs", 2}, {"examples", 12}};
  return {.subject = {{"layer", layer}, {"layer_options", {{layer, options}}}},
          .axes = {{"d_model", d_model},
                   {"lr", 1e-2},
                   {"seed", 1},
                   {"cell", {{"batch_size", 8}, {"train", {part}}, {"test", {part}}}}},
          .setting = {{"task", "mqar"},
                      {"task_options", {{"vocab_size", 32}}},
                      {"epochs", 6},
                      {"stop_accuracy", nullptr},
                      {"backbone", "recall"},
                      {"backbone_options", {{"embedding_dropout", 0.1}}},
                      {"feed_forward", "none"},
                      {"feed_forward_options", json::object()},
                      {"blocks", 2},
                      {"optimizer",
                       {{"name", "adamw"}, {"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}, {"weight_decay", 0.1}}},
                      {"schedule", {{"name", "cosine"}, {"by", "epoch"}, {"warmup", 0}, {"final", 0}}},
                      {"clip", clip},
                      {"precision", "f32"}}};
}

// What training leaves.
struct Trained {
  std::vector<double> losses;
  std::vector<float> values;
  GraphCounts graphs;
  std::uint64_t host_accesses = 0;  // of the last step

  bool same_bits(const Trained& other) const {
    return losses == other.losses && values.size() == other.values.size() &&
           std::memcmp(values.data(), other.values.data(), values.size() * sizeof(float)) == 0;
  }
};

// Twelve steps: batches of eight and, where an epoch ends, of four.
Trained train(const RunSpec& spec, bool graphs) {
  set_graphs(graphs);
  const RunSettings settings = read_settings(spec);
  Trainer trainer(settings);
  Trained result;
  Batch batch;
  const GraphCounts before = graph_counts();
  for (std::int64_t step = 0; step < 12; ++step) {
    std::vector<std::uint64_t> indices(step % 2 == 0 ? 8 : 4);
    std::iota(indices.begin(), indices.end(), step % 2 == 0 ? 0 : 8);
    fill_batch(*settings.train[0].task, Split::train, 0, indices, batch);
    const std::uint64_t accesses = device_counts().host_accesses;
    result.losses.push_back(trainer.step(batch, step));
    result.host_accesses = device_counts().host_accesses - accesses;
  }
  const GraphCounts after = graph_counts();
  result.graphs = {after.launched - before.launched, after.built - before.built, after.work - before.work};
  const auto values = trainer.model().slab().values<float>();
  result.values.assign(values.begin(), values.end());
  return result;
}

// The random keys of dropout, the learning rate and the number of the step change each time, and the batch's size.
TEST_F(Graphs, TrainEveryLayerToTheSameBits) {
  for (const char* layer : {"attention", "mamba", "ttt_linear", "rwkv6", "delta_net", "lstm", "base_conv"}) {
    SCOPED_TRACE(layer);
    const LayerCase& test_case = layer_registry().get(layer).test_cases.front();
    const RunSpec spec = small_run(layer, test_case.options, test_case.d_model, 0.5);
    const Trained plain = train(spec, false), as_graphs = train(spec, true);
    EXPECT_TRUE(as_graphs.same_bits(plain));
    EXPECT_EQ(plain.graphs.launched, 0U);
    EXPECT_GT(as_graphs.graphs.launched, 0U);
    EXPECT_GT(as_graphs.graphs.work, 100 * as_graphs.graphs.launched / 4) << "graphs of much work, not of little";
  }
}

// The loss is looked at once a part, where its gradients are under way, and the gradient's norm where it is clipped:
// a step is a graph of the model's work and two of the optimizer's.
TEST_F(Graphs, AStepIsCutWhereTheHostLooksAndNowhereElse) {
  for (const char* layer : {"attention", "linear_attention", "rwkv6"}) {
    SCOPED_TRACE(layer);
    const LayerCase& test_case = layer_registry().get(layer).test_cases.front();
    const Trained clipped = train(small_run(layer, test_case.options, test_case.d_model, 0.5), true);
    EXPECT_EQ(clipped.host_accesses, 2U);
    const Trained plain = train(small_run(layer, test_case.options, test_case.d_model, nullptr), true);
    EXPECT_EQ(plain.host_accesses, 1U);
  }
}

// Batches of two sizes are launched by the same kernels: what changes is arguments.
TEST_F(Graphs, AreBuiltOnceAndChangedFromThenOn) {
  const LayerCase& test_case = layer_registry().get("attention").test_cases.front();
  const RunSpec spec = small_run("attention", test_case.options, test_case.d_model, nullptr);
  train(spec, true);
  const Trained again = train(spec, true);
  EXPECT_EQ(again.graphs.launched, 12U * 2) << "a part and an update each step";
  EXPECT_EQ(again.graphs.built, 0U) << "those of the training before are there";
}

TEST_F(Graphs, TrainLanguageModelsToTheSameBits) {
  const TemporaryDirectory directory;
  const Corpus corpus = small_corpus(directory);
  LmChoices choices = small_choices();
  choices.steps = 10;
  const LmSettings settings = read_lm_settings(plan_lm("attention", choices, identity_of(corpus)));
  Collective alone;
  const auto train_lm_steps = [&](bool graphs) {
    set_graphs(graphs);
    // Two micro-batches: the second's gradients are added.
    LmTrainer trainer(settings, {.micro_batch = 2}, alone);
    Trained result;
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(settings.batch_sequences * (settings.context + 1)));
    const Sequences sequences(corpus, Split::train, settings.context);
    for (std::int64_t step = 0; step < 10; ++step) {
      for (std::int64_t i = 0; i < settings.batch_sequences; ++i) {
        const auto at = static_cast<std::size_t>(i * (settings.context + 1));
        sequences.read((step * settings.batch_sequences + i) % sequences.count(),
                       std::span(tokens).subspan(at, static_cast<std::size_t>(settings.context + 1)));
      }
      const LmTrainer::StepResult step_result = trainer.step(tokens, 0, step);
      result.losses.push_back(step_result.loss);
      result.losses.push_back(step_result.gradient_norm.value());
    }
    const auto values = trainer.model().slab().values<float>();
    result.values.assign(values.begin(), values.end());
    return result;
  };
  const Trained plain = train_lm_steps(false), as_graphs = train_lm_steps(true);
  EXPECT_TRUE(as_graphs.same_bits(plain));
}

// Scopes after the first, which is not recorded.
class GraphScopes : public Graphs {
 protected:
  void SetUp() override {
    Graphs::SetUp();
    if (IsSkipped()) return;
    set_graphs(true);
    const GraphScope first(StepPart::update);
  }
};

TEST_F(GraphScopes, TheHostMayLookAtAnyTime) {
  const Tensor x = Tensor::from<float>({3}, {1, 2, 3});
  const GraphCounts before = graph_counts();
  Tensor y, z;
  {
    const GraphScope scope(StepPart::update);
    y = x + x;
    EXPECT_THAT(y.values<float>(), ElementsAre(2, 4, 6));
    z = y * x;
    y.data<float>()[0] = 100;
    z = z + y;
  }
  EXPECT_THAT(z.values<float>(), ElementsAre(102, 12, 24));
  EXPECT_EQ(graph_counts().launched - before.launched, 3U);
}

TEST_F(GraphScopes, WhatIsFreedWithinOneIsReadBefore) {
  Tensor sum = Tensor::zeros({64});
  {
    const GraphScope scope(StepPart::update);
    for (int i = 1; i <= 8; ++i) sum = sum + Tensor::full({64}, i);  // each of them is gone when it is added
  }
  EXPECT_THAT(sum.values<float>(), Each(36));
}

TEST_F(GraphScopes, WhatWasGivenIsDoneAlsoWhenSomethingIsThrown) {
  const Tensor x = Tensor::from<float>({3}, {1, 2, 3});
  Tensor y;
  try {
    const GraphScope scope(StepPart::update);
    y = x + x;
    throw Error("planted");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "planted");
  }
  EXPECT_THAT(y.values<float>(), ElementsAre(2, 4, 6));
}

// Whole numbers that the host made are looked at without waiting; what a kernel or the host writes is waited for.
TEST_F(GraphScopes, IndicesThatTheHostMadeAreLookedAtWithoutWaiting) {
  Tensor indices = Tensor::from<std::int32_t>({3}, {2, 0, 1});
  const std::uint64_t before = device_counts().host_accesses;
  EXPECT_THAT(std::as_const(indices).values<std::int32_t>(), ElementsAre(2, 0, 1));
  EXPECT_THAT(std::as_const(indices).rows(1, 2).values<std::int32_t>(), ElementsAre(0, 1));
  EXPECT_EQ(device_counts().host_accesses, before);
  indices.data<std::int32_t>()[0] = 7;
  EXPECT_EQ(device_counts().host_accesses, before + 1);
  EXPECT_THAT(std::as_const(indices).values<std::int32_t>(), ElementsAre(7, 0, 1));
  Tensor written = Tensor::from<std::int32_t>({2}, {1, 2});
  written.copy_from(indices.rows(0, 2));
  EXPECT_THAT(std::as_const(written).values<std::int32_t>(), ElementsAre(7, 0));
  written = Tensor::from<std::int32_t>({2}, {1, 2});
  written.clear();
  EXPECT_THAT(std::as_const(written).values<std::int32_t>(), Each(0));
}

TEST(GraphsOnTheCpu, AreRefused) {
  if (current_device() == Device::gpu) GTEST_SKIP() << "there are graphs here";
  EXPECT_NO_THROW(set_graphs(false));
  try {
    set_graphs(true);
    FAIL() << "nothing was thrown";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--device gpu"));
  }
}

}  // namespace
}  // namespace zoo::test
