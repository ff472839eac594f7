#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>

#include "tests/unit/lm_testing.h"
#include "zoo/core/error.h"
#include "zoo/lm/checkpoint.h"
#include "zoo/lm/evaluation.h"
#include "zoo/lm/generate.h"
#include "zoo/lm/run.h"
#include "zoo/ops/ops.h"

namespace zoo::test {
namespace {

using testing::HasSubstr;

class LmTraining : public testing::Test {
 protected:
  LmOutcome train(const RunSpec& spec, const std::string& name, const LmExecution& execution = {.micro_batch = 4},
                  const LmCallbacks& callbacks = {}) {
    return train_lm(spec, corpus_,
                    {.folder = directory_ / name, .execution = execution, .keep_checkpoints = 2, .checkpoint_every = 1},
                    callbacks, alone_);
  }
  LoadedLm load(const std::string& name) const { return load_lm(directory_ / name); }

  static Tensor values(const Model& model) {
    Tensor all = Tensor::empty({count_values(model.parameters())});
    std::int64_t at = 0;
    for (const Parameter& parameter : model.parameters()) {
      std::memcpy(all.data<float>() + at, parameter.value().raw(), parameter.value().bytes());
      at += parameter.value().size();
    }
    return all;
  }

  static double relative_rms(const Tensor& a, const Tensor& b) {
    double difference = 0, size = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) {
      const double x = a.data<float>()[i], y = b.data<float>()[i];
      difference += (x - y) * (x - y);
      size += y * y;
    }
    return std::sqrt(difference / size);
  }

  static void expect_same_bits(const Model& a, const Model& b) {
    const Tensor x = values(a), y = values(b);
    ASSERT_EQ(x.size(), y.size());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0);
  }

  TemporaryDirectory directory_;
  Corpus corpus_ = small_corpus(directory_);
  Collective alone_;
};

TEST_F(LmTraining, OfEveryLayerLowersTheLoss) {
  for (const LayerEntry& entry : layer_registry().entries()) {
    SCOPED_TRACE(entry.name);
    LmChoices choices = small_choices();
    // A width that the layer's first case has tried.
    choices.d_model = 16;
    if (entry.options.find("heads") != nullptr) choices.layer_options[entry.name] = {{"heads", 1}};
    if (entry.options.find("head_dim") != nullptr) choices.layer_options[entry.name]["head_dim"] = 8;
    choices.learning_rate = 0.01;
    choices.steps = 30;
    choices.evaluate_every = 30;
    const RunSpec spec = plan_lm(entry.name, choices, identity_of(corpus_));
    double first = 0;
    const LmOutcome outcome =
        train(spec, entry.name, {.micro_batch = 4}, {.begin = {}, .step = [&](const LmStep& step) {
                                                       if (step.step == 1) first = step.loss;
                                                     }});
    ASSERT_EQ(outcome.status, RunStatus::done);
    // Untrained, a model says that every byte is as likely as any other; the text has 16 different ones.
    EXPECT_NEAR(first, std::log(257.0), 0.3);
    EXPECT_LT(outcome.slices.front().loss, 3.4);
  }
}

TEST_F(LmTraining, GoesOnBitForBit) {
  const RunSpec spec = plan_lm("attention", small_choices(), identity_of(corpus_));
  train(spec, "whole");
  for (const std::int64_t stop : {1, 4}) {
    const std::string name = "stopped" + std::to_string(stop);
    std::int64_t done = 0;
    const LmCallbacks callbacks{.begin = {},
                                .step = [&](const LmStep& step) { done = step.step; },
                                .part = {},
                                .evaluation = {},
                                .stop_requested = [&] { return done == stop; }};
    EXPECT_EQ(train(spec, name, {.micro_batch = 4}, callbacks).status, RunStatus::interrupted);
    const LmOutcome outcome = train(spec, name);
    EXPECT_EQ(outcome.status, RunStatus::done);
    expect_same_bits(load(name).model, load("whole").model);
    const auto loss_lines = [&](const std::string& run) {
      std::string all;
      std::istringstream lines(read_file(directory_ / (run + "/log.jsonl")));
      for (std::string line; std::getline(lines, line);) {
        nlohmann::json entry = nlohmann::json::parse(line);
        for (const char* time : {"seconds", "tokens_per_second"}) entry.erase(time);
        all += entry.dump() + "\n";
      }
      return all;
    };
    EXPECT_EQ(loss_lines(name), loss_lines("whole"));
  }
}

TEST_F(LmTraining, KilledBeforeItsResultWasRecordedIsEvaluatedAgainAndLoggedOnce) {
  const RunSpec spec = plan_lm("min_gru", small_choices(), identity_of(corpus_));
  const LmOutcome first = train(spec, "run");
  const auto lines = [&] { return std::ranges::count(read_file(directory_ / "run/log.jsonl"), '\n'); };
  const auto before = lines();
  const LmOutcome second = train(spec, "run");
  EXPECT_EQ(second.slices.front().loss, first.slices.front().loss);
  EXPECT_EQ(second.summary.at("data_hash"), first.summary.at("data_hash"));
  EXPECT_EQ(lines(), before);
}

TEST_F(LmTraining, GoesOnFromTheOneBeforeWhenACheckpointIsDamaged) {
  const RunSpec spec = plan_lm("min_gru", small_choices(), identity_of(corpus_));
  train(spec, "whole");
  std::int64_t done = 0;
  train(spec, "damaged", {.micro_batch = 4},
        {.begin = {},
         .step = [&](const LmStep& step) { done = step.step; },
         .part = {},
         .evaluation = {},
         .stop_requested = [&] { return done == 4; }});
  const auto checkpoints = list_lm_checkpoints(directory_ / "damaged/checkpoints");
  ASSERT_EQ(checkpoints.size(), 2U);
  EXPECT_EQ(checkpoints.front().filename(), "step-00000004");
  std::filesystem::resize_file(checkpoints.front() / "optimizer.safetensors", 100);
  std::string warning;
  std::int64_t began = -1;
  train(spec, "damaged", {.micro_batch = 4},
        {.begin = [&](std::int64_t at) { began = at; },
         .step = {},
         .evaluation = {},
         .stop_requested = {},
         .warning = [&](const std::string& line) { warning = line; }});
  EXPECT_EQ(began, 3);
  EXPECT_THAT(warning, HasSubstr("optimizer.safetensors"));
  expect_same_bits(load("damaged").model, load("whole").model);
}

TEST_F(LmTraining, GivesUpAStepThatIsInterruptedAndMakesItAgain) {
  const RunSpec spec = plan_lm("attention", small_choices(), identity_of(corpus_));
  train(spec, "whole", {.micro_batch = 1});
  bool stop = false;
  const LmCallbacks callbacks{.begin = {},
                              .step = {},
                              .part =
                                  [&](std::int64_t step, std::int64_t done, std::int64_t all) {
                                    EXPECT_EQ(all, 4);
                                    stop = step == 3 && done == 2;
                                  },
                              .evaluation = {},
                              .stop_requested = [&] { return stop; }};
  const LmOutcome outcome = train(spec, "stopped", {.micro_batch = 1}, callbacks);
  EXPECT_EQ(outcome.status, RunStatus::interrupted);
  EXPECT_EQ(outcome.summary.at("epochs"), 2);
  EXPECT_EQ(train(spec, "stopped", {.micro_batch = 1}).status, RunStatus::done);
  expect_same_bits(load("stopped").model, load("whole").model);
}

TEST_F(LmTraining, DoesNotDependOnTheMicroBatchOrOnRecomputation) {
  const RunSpec spec = plan_lm("attention", small_choices(), identity_of(corpus_));
  const LmOutcome whole = train(spec, "whole", {.micro_batch = 4});
  for (const std::int64_t micro_batch : {1, 3}) {
    const std::string name = "micro" + std::to_string(micro_batch);
    const LmOutcome parts = train(spec, name, {.micro_batch = micro_batch});
    EXPECT_EQ(parts.summary.at("data_hash"), whole.summary.at("data_hash"));
    // Sums in another order: AdamW's first steps divide gradients by their own size, so that a rounding of 6e-8 of a
    // small one can be a larger part of its step.
    EXPECT_LT(relative_rms(values(load(name).model), values(load("whole").model)), 1e-4);
  }
  train(spec, "again", {.micro_batch = 4, .recompute = true});
  expect_same_bits(load("again").model, load("whole").model);
}

// Ranks as threads of this process, which meet for each sum.
class ThreadRanks final : public Collective {
 public:
  struct Meeting {
    std::barrier<> barrier;
    std::vector<std::vector<double>> parts;
  };
  ThreadRanks(Meeting& meeting, int rank) : meeting_(&meeting), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(meeting_->parts.size()); }
  void sum(std::span<float> values) override { add(values); }
  void sum(std::span<double> values) override { add(values); }
  void sum(std::span<std::uint64_t> values) override {
    // In halves, which doubles hold exactly.
    std::vector<double> halves;
    for (const std::uint64_t value : values) {
      halves.push_back(static_cast<double>(value >> 32));
      halves.push_back(static_cast<double>(value & 0xFFFFFFFF));
    }
    add(std::span(halves));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = (static_cast<std::uint64_t>(halves[2 * i]) << 32) + static_cast<std::uint64_t>(halves[2 * i + 1]);
    }
  }

 private:
  template <typename T>
  void add(std::span<T> values) {
    meeting_->parts[static_cast<std::size_t>(rank_)].assign(values.begin(), values.end());
    meeting_->barrier.arrive_and_wait();
    for (std::size_t i = 0; i < values.size(); ++i) {
      double total = 0;
      for (const auto& part : meeting_->parts) total += part[i];
      values[i] = static_cast<T>(total);
    }
    meeting_->barrier.arrive_and_wait();
  }

  Meeting* meeting_;
  int rank_;
};

TEST_F(LmTraining, WithSeveralRanksIsAsWithOne) {
  const RunSpec spec = plan_lm("attention", small_choices(), identity_of(corpus_));
  const LmOutcome whole = train(spec, "whole", {.micro_batch = 1});
  // Three ranks share four sequences unevenly.
  ThreadRanks::Meeting meeting{.barrier = std::barrier<>(3), .parts = std::vector<std::vector<double>>(3)};
  std::vector<LmOutcome> outcomes(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadRanks ranks(meeting, rank);
      outcomes[static_cast<std::size_t>(rank)] =
          train_lm(spec, corpus_, {.folder = directory_ / "ranks", .execution = {.micro_batch = 1}}, {}, ranks);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(outcomes[0].summary.at("data_hash"), whole.summary.at("data_hash"));
  EXPECT_DOUBLE_EQ(outcomes[0].summary.at("flops").get<double>(), whole.summary.at("flops").get<double>());
  EXPECT_LT(relative_rms(values(load("ranks").model), values(load("whole").model)), 1e-4);
  EXPECT_NEAR(outcomes[0].slices.front().loss, whole.slices.front().loss, 1e-4);
}

TEST_F(LmTraining, RecordsDivergenceAndRefusesAnotherCorpus) {
  LmChoices choices = small_choices();
  choices.learning_rate = 1e30;
  choices.clip = std::nullopt;
  const LmOutcome outcome = train(plan_lm("linear_attention", choices, identity_of(corpus_)), "diverged");
  EXPECT_EQ(outcome.status, RunStatus::diverged);
  EXPECT_THAT(outcome.message, HasSubstr("not finite at step"));
  RunSpec other = plan_lm("attention", small_choices(), identity_of(corpus_));
  other.setting["corpus"]["hash"] = "0123";
  EXPECT_THROW(train(other, "other"), UsageError);
}

TEST_F(LmTraining, GeneratesAsTheWholeSequenceSays) {
  for (const std::string layer : {"attention", "mamba", "ttt_linear", "base_conv+attention"}) {
    SCOPED_TRACE(layer);
    train(plan_lm(layer, small_choices(), identity_of(corpus_)), layer);
    const LoadedLm loaded = load(layer);
    ASSERT_NE(loaded.tokenizer, nullptr);
    std::vector<std::vector<std::int32_t>> prompts(2);
    loaded.tokenizer->encode("the state ", prompts[0]);
    loaded.tokenizer->encode("a layer is", prompts[1]);
    const std::uint64_t numbers[] = {0, 1};
    const GenerateOptions greedy{.sampling = {.temperature = 0}, .max_tokens = 12};
    const auto both = generate(loaded.model, prompts, numbers, greedy);
    const NoTape off;
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(generate(loaded.model, {prompts[i]}, std::span(numbers).subspan(i, 1), greedy).front(), both[i]);
      ASSERT_EQ(both[i].size(), 12U);
      std::vector<std::int32_t> all = prompts[i];
      all.insert(all.end(), both[i].begin(), both[i].end());
      ModelState state = loaded.model.initial_state(1);
      const std::int64_t T = std::ssize(all);
      const Tensor hidden = loaded.model.forward(Tensor::from<std::int32_t>({1, T}, all), state, {});
      const Tensor said = ops::argmax(ops::linear(hidden, loaded.model.head().weight()));
      for (std::int64_t t = 9; t + 1 < T; ++t) {
        EXPECT_EQ(said.data<std::int32_t>()[t], all[static_cast<std::size_t>(t + 1)]) << t;
      }
    }
  }
}

}  // namespace
}  // namespace zoo::test
