#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "zoo/core/error.h"
#include "zoo/core/random.h"
#include "zoo/sweep/compare.h"
#include "zoo/sweep/protocol.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

template <typename Message>
Message round_trip(const Message& message) {
  const std::string line = write_message(message);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  return std::get<Message>(read_message(line));
}

std::uint64_t bits(double number) {
  return std::bit_cast<std::uint64_t>(number);
}

TEST(SweepProtocol, NumbersSurviveBitForBit) {
  RandomStream random(RandomKey::of(0, "test/protocol"));
  std::vector<double> numbers = {0.0,
                                 -0.0,
                                 std::numeric_limits<double>::min(),
                                 std::numeric_limits<double>::max(),
                                 std::numeric_limits<double>::infinity(),
                                 -std::numeric_limits<double>::infinity(),
                                 0.1,
                                 1.0 / 3};
  while (numbers.size() < 2000) {
    const double number = std::bit_cast<double>(random.next_u64());
    // Denormals are zero in every thread of zoo.
    if (std::isnormal(number)) numbers.push_back(number);
  }
  for (const double number : numbers) {
    EXPECT_EQ(bits(round_trip(EpochResult{.epoch = 1, .train_loss = number}).train_loss), bits(number)) << number;
  }
  const double nan = round_trip(EpochResult{.epoch = 1, .train_loss = std::nan("")}).train_loss;
  EXPECT_TRUE(std::isnan(nan));
}

TEST(SweepProtocol, EveryFieldArrives) {
  const EpochResult epoch = round_trip(EpochResult{3, 1.5, 2.5, 0.25, 1e-3, 17.5});
  EXPECT_EQ(epoch.epoch, 3);
  EXPECT_EQ(epoch.train_loss, 1.5);
  EXPECT_EQ(epoch.validation_loss, 2.5);
  EXPECT_EQ(epoch.validation_accuracy, 0.25);
  EXPECT_EQ(epoch.learning_rate, 1e-3);
  EXPECT_EQ(epoch.seconds, 17.5);
  const RunProgress progress = round_trip(RunProgress{4, 0.75, 0.5});
  EXPECT_EQ(progress.epoch, 4);
  EXPECT_EQ(progress.fraction, 0.75);
  EXPECT_EQ(progress.train_loss, 0.5);
  const RunEnd end = round_trip(RunEnd{RunStatus::diverged,
                                       "step 7\nand \xff more",
                                       {{"parameters", 12}},
                                       {{"test", {{"seq_len", 64}}, 0.5, 1.25, 4096, 800}}});
  EXPECT_EQ(end.status, RunStatus::diverged);
  EXPECT_THAT(end.message, HasSubstr("step 7\nand "));
  EXPECT_EQ(end.summary.at("parameters"), 12);
  ASSERT_THAT(end.slices, SizeIs(1));
  EXPECT_EQ(end.slices[0].split, "test");
  EXPECT_EQ(end.slices[0].slice.at("seq_len"), 64);
  EXPECT_EQ(end.slices[0].accuracy, 0.5);
  EXPECT_EQ(end.slices[0].loss, 1.25);
  EXPECT_EQ(end.slices[0].state_bytes, 4096);
  EXPECT_EQ(end.slices[0].labelled, 800);
}

TEST(SweepProtocol, RequestsKeepTheRunsIdentity) {
  const WorkerRequest request{{{{"layer", "attention"}}, {{"lr", 0.1}, {"seed", 3}}, {{"epochs", 2}}},
                              "a b.safetensors"};
  const WorkerRequest read = read_request(write_request(request));
  EXPECT_EQ(read.spec.subject, request.spec.subject);
  EXPECT_EQ(read.spec.axes, request.spec.axes);
  EXPECT_EQ(read.spec.setting, request.spec.setting);
  EXPECT_EQ(read.checkpoint_path, request.checkpoint_path);
}

TEST(SweepProtocol, OtherTextIsRefused) {
  EXPECT_THROW(read_message("hello"), Error);
  EXPECT_THROW(read_message("{\"what\":\"epoch\"}"), Error);
  EXPECT_THROW(read_message("{}"), Error);
  EXPECT_THROW(read_request(""), Error);
}

zoo::Run result() {
  return {.id = "0123456789ab",
          .spec = {},
          .status = RunStatus::done,
          .message = {},
          .environment = {},
          .summary = {{"parameters", 10}, {"flops", 1e9}, {"epochs", 1}, {"train_seconds", 3.5}},
          .started = {},
          .finished = {},
          .epochs = {{1, 0.5, 0.6, 0.7, 1e-3, 2}},
          .slices = {{"test", {{"seq_len", 64}}, 0.9, 0.2, 128, 80}}};
}

TEST(ResultDifferences, TimesDoNotCountButTheLastBitDoes) {
  zoo::Run again = result();
  again.epochs[0].seconds = 99;
  again.summary["train_seconds"] = 99;
  EXPECT_THAT(result_differences(result(), again), SizeIs(0));
  again.epochs[0].train_loss = std::nextafter(0.5, 1);
  EXPECT_THAT(result_differences(result(), again), ElementsAre(HasSubstr("epoch 1 train_loss")));
}

TEST(ResultDifferences, EveryFigureCounts) {
  const std::vector<std::function<void(zoo::Run&)>> changes = {
      [](zoo::Run& run) { run.status = RunStatus::diverged; },
      [](zoo::Run& run) { run.message = "step 3"; },
      [](zoo::Run& run) { run.summary["flops"] = 2e9; },
      [](zoo::Run& run) { run.summary["parameters"] = 11; },
      [](zoo::Run& run) { run.summary["epochs"] = 2; },
      [](zoo::Run& run) { run.epochs[0].validation_loss = -1; },
      [](zoo::Run& run) { run.epochs[0].validation_accuracy = -1; },
      [](zoo::Run& run) { run.epochs[0].learning_rate = -1; },
      [](zoo::Run& run) { run.epochs[0].train_loss = std::nan(""); },
      [](zoo::Run& run) { run.epochs.clear(); },
      [](zoo::Run& run) { run.slices[0].accuracy = -1; },
      [](zoo::Run& run) { run.slices[0].loss = -1; },
      [](zoo::Run& run) { run.slices[0].state_bytes = -1; },
      [](zoo::Run& run) { run.slices[0].labelled = -1; },
      [](zoo::Run& run) { run.slices[0].split = "validation"; },
      [](zoo::Run& run) { run.slices.clear(); }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    zoo::Run again = result();
    changes[i](again);
    EXPECT_THAT(result_differences(result(), again), SizeIs(1)) << "change " << i;
  }
}

TEST(ShellCommand, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(shell_command({"zoo", "--layers", "a,b+c"}), "zoo --layers a,b+c");
  EXPECT_EQ(shell_command({"", "a b", "it's", "$HOME"}), "'' 'a b' 'it'\\''s' '$HOME'");
}

}  // namespace
}  // namespace zoo
