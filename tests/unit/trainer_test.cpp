#include "zoo/train/trainer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <numeric>

#include "tests/temporary_directory.h"
#include "zoo/core/error.h"
#include "zoo/core/foreign_code.h"
#include "zoo/core/parallel.h"
#include "zoo/core/tape.h"
#include "zoo/nn/model.h"
#include "zoo/train/run.h"

#if defined(__has_feature)
#define ZOO_HAS_SANITIZER (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define ZOO_HAS_SANITIZER 0
#endif

namespace {
std::atomic<std::int64_t> allocations{0};
constexpr const char* not_counted = "a sanitizer brings its own operator new, so that allocations cannot be counted";
}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || ZOO_HAS_SANITIZER
static constexpr bool counts_allocations = false;
#else
static constexpr bool counts_allocations = true;

// Counts what our own code takes from the heap, anywhere in this program.
void* operator new(std::size_t bytes) {
  if (!zoo::in_foreign_code()) ++allocations;
  if (void* block = std::malloc(bytes == 0 ? 1 : bytes)) return block;
  throw std::bad_alloc();
}
// GCC sees free() behind a new it has not inlined, and takes it for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}
#pragma GCC diagnostic pop
#endif

namespace zoo {
namespace {

using nlohmann::json;

RunSpec small_run(const std::string& layer = "attention") {
  const json part = {{"seq_len", 16}, {"kv_pairs", 2}, {"examples", 40}};
  return {.subject = {{"layer", layer}, {"layer_options", json::object()}},
          .axes = {{"d_model", 16},
                   {"lr", 1e-2},
                   {"seed", 1},
                   {"cell", {{"batch_size", 16}, {"train", {part}}, {"test", {part}}}}},
          .setting = {{"task", "mqar"},
                      {"task_options", {{"vocab_size", 32}}},
                      {"epochs", 3},
                      {"stop_accuracy", nullptr},
                      {"backbone", "recall"},
                      {"backbone_options", json::object()},
                      {"feed_forward", "none"},
                      {"feed_forward_options", json::object()},
                      {"blocks", 2},
                      {"optimizer",
                       {{"name", "adamw"}, {"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}, {"weight_decay", 0.1}}},
                      {"schedule", {{"name", "cosine"}, {"by", "epoch"}, {"warmup", 0}, {"final", 0}}},
                      {"clip", nullptr},
                      {"precision", "f32"}}};
}

// The results of a run as text: every bit of every number that does not depend on the clock.
std::string figures(const std::vector<EpochResult>& epochs, const RunOutcome& outcome) {
  json all = json::array();
  for (const EpochResult& epoch : epochs) {
    all.push_back({epoch.epoch, epoch.train_loss, epoch.validation_loss, epoch.validation_accuracy});
  }
  for (const SliceResult& slice : outcome.slices) {
    all.push_back({slice.split, slice.slice, slice.accuracy, slice.loss, slice.state_bytes, slice.labelled});
  }
  all.push_back({outcome.summary.at("parameters"), outcome.summary.at("flops"), outcome.summary.at("epochs")});
  return all.dump();
}

TEST(Trainer, TheCosineIsSteppedByEpoch) {
  const RunSettings settings = read_settings(small_run());
  ASSERT_EQ(settings.steps_per_epoch(), 3);  // 40 examples in batches of 16: the last one is smaller
  for (int step = 0; step < 3; ++step) EXPECT_DOUBLE_EQ(settings.learning_rate_at(step), 1e-2);
  EXPECT_DOUBLE_EQ(settings.learning_rate_at(3), 1e-2 * 0.75);  // (1 + cos(pi/3)) / 2
  EXPECT_NEAR(settings.learning_rate_at(8), 1e-2 * 0.25, 1e-17);
}

TEST(Trainer, TheLossFallsOnOneBatch) {
  const RunSettings settings = read_settings(small_run());
  Trainer trainer(settings);
  Batch batch;
  std::vector<std::uint64_t> indices(16);
  std::iota(indices.begin(), indices.end(), 0);
  fill_batch(*settings.train[0].task, Split::train, 0, indices, batch);
  const double first = trainer.step(batch, 0);
  EXPECT_NEAR(first, std::log(32.0), 0.2) << "a fresh model knows nothing: the loss is near log(vocabulary)";
  double last = first;
  for (int step = 1; step < 60; ++step) last = trainer.step(batch, 0);
  EXPECT_LT(last, first / 4);
}

TEST(Trainer, ASteadyStepTakesNothingFromTheHeap) {
  if (!counts_allocations) GTEST_SKIP() << not_counted;
  for (const std::string& layer : layer_registry().names()) {
    const LayerCase& test_case = layer_registry().get(layer).test_cases.front();
    RunSpec spec = small_run(layer);
    spec.subject["layer_options"] = {{layer, test_case.options}};
    spec.axes["d_model"] = test_case.d_model;
    const RunSettings settings = read_settings(spec);
    Trainer trainer(settings);
    Batch batch;
    std::vector<std::uint64_t> indices(16);
    std::iota(indices.begin(), indices.end(), 0);
    const auto step = [&] {
      fill_batch(*settings.train[0].task, Split::train, 0, indices, batch);
      trainer.step(batch, 0);
    };
    for (int warm = 0; warm < 4; ++warm) step();
    const std::int64_t before = allocations;
    const std::uint64_t system = pool_statistics().system_allocations;
    for (int again = 0; again < 5; ++again) step();
    EXPECT_EQ(allocations - before, 0) << layer;
    EXPECT_EQ(pool_statistics().system_allocations - system, 0U) << layer;
  }
}

TEST(Trainer, DecodingTakesNothingFromTheHeap) {
  if (!counts_allocations) GTEST_SKIP() << not_counted;
  const auto decode = [](const std::string& layer, const std::string& backbone) {
    const LayerCase& test_case = layer_registry().get(layer).test_cases.front();
    const Model model({.layer = layer,
                       .layer_options = {{layer, test_case.options}},
                       .backbone = backbone,
                       .feed_forward = "swiglu",
                       .blocks = 2,
                       .d_model = test_case.d_model,
                       .vocab_size = 8,
                       .max_length = 64},
                      1);
    const Tensor token = Tensor::from<std::int32_t>({2, 1}, {3, 5});
    const NoTape no_tape;
    ModelState state = model.initial_state(2);
    const auto steps = [&](int count) {
      for (int step = 0; step < count; ++step) model.forward(token, state, {});
    };
    steps(20);
    const std::int64_t bytes = state.bytes(), before = allocations;
    const std::uint64_t system = pool_statistics().system_allocations;
    steps(20);
    EXPECT_EQ(allocations - before, 0) << layer << " in " << backbone;
    // A state that grows needs larger blocks now and then.
    if (state.bytes() != bytes) return;
    EXPECT_EQ(pool_statistics().system_allocations - system, 0U) << layer << " in " << backbone;
  };
  for (const std::string& layer : layer_registry().names()) decode(layer, "transformer");
  for (const std::string& backbone : backbone_registry().names()) decode("ttt_linear", backbone);
}

class RunTest : public testing::Test {
 protected:
  std::string run(const RunSpec& spec, const std::string& checkpoint, std::vector<EpochResult>& epochs,
                  int stop_after = -1) {
    RunCallbacks callbacks;
    callbacks.epoch = [&](const EpochResult& epoch) { epochs.push_back(epoch); };
    callbacks.stop_requested = [&] { return stop_after >= 0 && stop_after-- == 0; };
    const RunOutcome outcome = execute_run(spec, checkpoint, callbacks);
    if (outcome.status == RunStatus::interrupted) return "interrupted";
    return figures(epochs, outcome);
  }

  const test::TemporaryDirectory folder_;
  const std::string path_ = folder_ / "checkpoint.safetensors";
};

TEST_F(RunTest, IsTheSameBitForBitWhenRunAgain) {
  std::vector<EpochResult> first;
  std::vector<EpochResult> second;
  EXPECT_EQ(run(small_run(), "", first), run(small_run(), "", second));
}

TEST_F(RunTest, GoesOnFromACheckpointBitForBit) {
  std::vector<EpochResult> expected_epochs;
  const std::string expected = run(small_run(), "", expected_epochs);
  for (int stop_after = 0; stop_after < 8; ++stop_after) {
    std::vector<EpochResult> epochs;
    ASSERT_EQ(run(small_run(), path_, epochs, stop_after), "interrupted");
    EXPECT_EQ(checkpoint_epochs(small_run(), path_), static_cast<std::int64_t>(epochs.size()));
    EXPECT_EQ(run(small_run(), path_, epochs), expected) << "stopped after step " << stop_after;
    EXPECT_FALSE(std::filesystem::exists(path_)) << "a finished run leaves no checkpoint";
  }
}

TEST_F(RunTest, ACheckpointOfAnotherRunIsNotUsed) {
  std::vector<EpochResult> epochs;
  ASSERT_EQ(run(small_run(), path_, epochs, 4), "interrupted");
  RunSpec other = small_run();
  other.axes["seed"] = 2;
  EXPECT_EQ(checkpoint_epochs(other, path_), 0);
  std::filesystem::resize_file(path_, 100);
  EXPECT_EQ(checkpoint_epochs(small_run(), path_), 0) << "a truncated one begins anew";
}

TEST_F(RunTest, ALossThatIsNotFiniteIsAResult) {
  RunSpec spec = small_run();
  spec.axes["lr"] = 1e30;
  std::vector<EpochResult> epochs;
  const RunOutcome outcome = execute_run(spec, path_, {});
  EXPECT_EQ(outcome.status, RunStatus::diverged);
  EXPECT_NE(outcome.message.find("step"), std::string::npos);
}

TEST_F(RunTest, AStopAccuracyEndsTheRunEarly) {
  RunSpec spec = small_run();
  spec.setting["stop_accuracy"] = -1.0;
  EXPECT_EQ(execute_run(spec, "", {}).summary.at("epochs"), 1);
}

TEST_F(RunTest, AnEstimateIsMadeFromTheModelItself) {
  const RunEstimate estimate = estimate_run(small_run());
  const RunOutcome outcome = execute_run(small_run(), "", {});
  EXPECT_EQ(estimate.parameters, outcome.summary.at("parameters"));
  // Counted on one example: a query that stands later reads more keys.
  EXPECT_NEAR(estimate.flops / outcome.summary.at("flops").get<double>(), 1, 0.01);
  EXPECT_EQ(estimate.state_bytes, outcome.slices[0].state_bytes);
}

TEST_F(RunTest, SaysWhatIsWrongWithARecord) {
  const auto message = [](const std::function<void(RunSpec&)>& spoil) -> std::string {
    RunSpec spec = small_run();
    spoil(spec);
    try {
      estimate_run(spec);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(has(message([](RunSpec& s) { s.axes["lr"] = -1.0; }), "learning rate is -1"));
  EXPECT_TRUE(has(message([](RunSpec& s) { s.axes.erase("seed"); }), "no 'seed'"));
  EXPECT_TRUE(has(message([](RunSpec& s) { s.setting["colour"] = "red"; }), "unknown 'colour'"));
  EXPECT_TRUE(has(message([](RunSpec& s) { s.setting["epochs"] = "many"; }), "epochs"));
  EXPECT_TRUE(has(message([](RunSpec& s) { s.subject["layer"] = "atention"; }), "attention"));
  EXPECT_TRUE(has(message([](RunSpec& s) { s.axes["cell"]["test"][0]["kv_pairs"] = 100; }), "kv_pairs"));
  EXPECT_TRUE(has(message([](RunSpec& s) { s.setting["backbone"] = "recal"; }), "recall"));
}

// Sequences of several chunks: what is carried from one to the next makes the answers those of one pass.
TEST(Trainer, LongSequencesAreReadInChunks) {
  constexpr std::int64_t length = 2 * Trainer::longest_chunk + 100;
  for (const std::string layer : {"attention", "mamba", "ttt_linear"}) {
    RunSpec spec = small_run(layer);
    if (layer == "attention") spec.subject["layer_options"] = {{layer, {{"window", 64}}}};
    spec.setting["task_options"]["vocab_size"] = length + 2;
    for (const char* which : {"train", "test"}) spec.axes["cell"][which][0]["seq_len"] = length;
    const RunSettings settings = read_settings(spec);
    Trainer trainer(settings);
    Batch batch;
    const std::uint64_t indices[] = {0, 1};
    fill_batch(*settings.test[0].task, Split::test, 0, indices, batch);
    const Scores scores = trainer.evaluate(batch);
    EXPECT_EQ(scores.all.labelled, 4);

    const Part whole = part_of(batch, {.first = 0, .count = 2, .begin = 0, .end = length});
    const NoTape off;
    ModelState state = trainer.model().initial_state(2);
    const Tensor hidden = trainer.model().forward(whole.inputs, state, {.rows = &whole.rows});
    double loss = 0;
    for (const double each : trainer.model().head().score(hidden, whole.answers).losses) loss += each;
    // Sums in another order: rounding of float32 in some thousand terms.
    EXPECT_NEAR(scores.all.loss, loss, 1e-4 * loss) << layer;
  }
}

// Windows of a batch hold the rows, labels and positions of their part of it, and nothing of the others'.
TEST(Trainer, APartHoldsWhatItsWindowHolds) {
  Batch batch;
  batch.batch = 2;
  batch.seq_len = 4;
  batch.tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  batch.rows = {0, 3, 5, 6};
  batch.offsets = {0, 2, 4};
  batch.row_labels = {10, 13, 15, 16};
  batch.label_offsets = batch.offsets;
  const auto integers = [](const Tensor& tensor) {
    const auto values = tensor.values<std::int32_t>();
    return std::vector<std::int32_t>(values.begin(), values.end());
  };
  using Integers = std::vector<std::int32_t>;
  const Part late = part_of(batch, {.first = 0, .count = 2, .begin = 2, .end = 4});
  EXPECT_EQ(integers(late.inputs), (Integers{3, 4, 7, 8}));
  EXPECT_EQ(integers(late.rows.indices), (Integers{1, 2}));
  EXPECT_EQ(integers(late.rows.offsets), (Integers{0, 1, 2}));
  EXPECT_EQ(integers(late.answers.labels), (Integers{13, 16}));
  EXPECT_EQ(integers(late.positions), (Integers{1, 3}));
  // A decoder: the last position of each sequence answers for all of its labels.
  batch.rows = {3, 7};
  batch.offsets = {0, 1, 2};
  batch.row_labels = {1, 2, 3, 4, 5, 6, 7, 8};
  batch.label_offsets = {0, 4, 8};
  const Part early = part_of(batch, {.first = 1, .count = 1, .begin = 0, .end = 2});
  EXPECT_EQ(integers(early.rows.indices), Integers{});
  EXPECT_EQ(integers(early.answers.labels), Integers{});
  const Part second = part_of(batch, {.first = 1, .count = 1, .begin = 0, .end = 4});
  EXPECT_EQ(integers(second.rows.indices), Integers{3});
  EXPECT_EQ(integers(second.answers.labels), (Integers{5, 6, 7, 8}));
}

}  // namespace
}  // namespace zoo
