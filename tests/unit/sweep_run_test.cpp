#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "tests/temporary_directory.h"
#include "zoo/core/error.h"
#include "zoo/sweep/sweep.h"

namespace zoo {
namespace {

using ::testing::HasSubstr;

// Sweeps with shell scripts in the place of workers: what the parent does, without training anything.
class SweepRun : public ::testing::Test {
 protected:
  static RunSpec spec(int seed) {
    const nlohmann::json part = {{{"seq_len", 16}, {"kv_pairs", 2}, {"examples", 4}}};
    return {
        {{"layer", "x"}, {"layer_options", {{"x", nlohmann::json::object()}}}},
        {{"d_model", 8}, {"lr", 0.1}, {"seed", seed}, {"cell", {{"batch_size", 2}, {"train", part}, {"test", part}}}},
        {{"task", "mqar"}}};
  }

  // `body` runs once a run, with $seed set, epoch and `finish` defined.
  SweepResult sweep(const std::string& body, int workers = 2) {
    const std::string script =
        "read -r request\n"
        "seed=$(echo \"$request\" | sed 's/.*\"seed\":\\([0-9]*\\).*/\\1/')\n"
        "echo started >> \"" +
        file("started.$seed") +
        "\"\n"
        "epoch() { echo '{\"what\":\"epoch\",\"epoch\":'$1',\"train_loss\":'$2',\"validation_loss\":0,"
        "\"validation_accuracy\":0,\"learning_rate\":0.1,\"seconds\":1}' >&3; }\n"
        "finish() { echo '{\"what\":\"end\",\"status\":\"'$1'\",\"message\":\"\",\"summary\":{\"epochs\":1},"
        "\"slices\":[]}' >&3; exit 0; }\n" +
        body;
    std::vector<RunSpec> runs;
    for (int seed = 0; seed < 4; ++seed) runs.push_back(spec(seed));
    Store store(file("runs.db"));
    return run_sweep({.runs = runs,
                      .estimates = std::vector<RunEstimate>(runs.size()),
                      .store_path = file("runs.db"),
                      .workers = workers,
                      .worker_command = {"/bin/bash", "-c", script},
                      .environment = {{"threads", 1}}},
                     store);
  }

  zoo::Run recorded(int seed) const {
    const Store store(file("runs.db"), Store::Mode::read);
    return store.find(spec(seed).id()).value();
  }
  std::string file(const std::string& name) const { return folder_ / name; }
  int starts(int seed) const {
    std::ifstream lines(file("started." + std::to_string(seed)));
    int count = 0;
    for (std::string line; std::getline(lines, line);) ++count;
    return count;
  }

  test::TemporaryDirectory folder_;
};

TEST_F(SweepRun, RecordsWhatWorkersSay) {
  const SweepResult result = sweep("epoch 1 0.5; epoch 2 '\"nan\"'; finish done");
  EXPECT_EQ(result.done, 4);
  EXPECT_EQ(result.left, 0);
  EXPECT_EQ(result.exit_code(), 0);
  const zoo::Run run = recorded(3);
  EXPECT_EQ(run.status, RunStatus::done);
  ASSERT_EQ(run.epochs.size(), 2U);
  EXPECT_EQ(run.epochs[0].train_loss, 0.5);
  EXPECT_EQ(run.environment.at("threads"), 1);
  EXPECT_FALSE(std::filesystem::exists(checkpoint_directory(file("runs.db"))));
}

TEST_F(SweepRun, FinishedRunsAreNotMadeAgainFailedOnesAre) {
  const SweepResult first = sweep(
      "case $seed in 0) finish done;; 1) finish diverged;; 2) echo the reason >&2; exit 3;; 3) kill -SEGV $$;; esac");
  EXPECT_EQ(first.done, 1);
  EXPECT_EQ(first.diverged, 1);
  EXPECT_EQ(first.failed, 2);
  EXPECT_EQ(first.exit_code(), 1);
  EXPECT_EQ(recorded(1).status, RunStatus::diverged);
  EXPECT_EQ(recorded(2).status, RunStatus::failed);
  EXPECT_THAT(recorded(2).message, HasSubstr("the reason"));
  EXPECT_THAT(recorded(3).message, HasSubstr("Segmentation fault"));

  const SweepResult second = sweep("finish done");
  EXPECT_EQ(second.skipped, 2);
  EXPECT_EQ(second.done, 2);
  EXPECT_EQ(second.exit_code(), 0);
  EXPECT_EQ(starts(0), 1);
  EXPECT_EQ(starts(1), 1);
  EXPECT_EQ(starts(2), 2);
  EXPECT_EQ(recorded(3).status, RunStatus::done);
  EXPECT_EQ(sweep("exit 1").skipped, 4);
}

TEST_F(SweepRun, ASignalStopsItAndTheRestIsLeft) {
  // Runs 0 and 1 end; the third worker interrupts the sweep, as Ctrl-C would, and saves when it is asked to.
  const SweepResult result = sweep(
      "test $seed -lt 2 && finish done\n"
      "trap 'finish interrupted' TERM\n"
      "test $seed = 2 && kill -INT $PPID\n"
      "while true; do sleep 0.02; done",
      1);
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.exit_code(), 130);
  EXPECT_EQ(result.done, 2);
  EXPECT_EQ(result.left, 2);
  EXPECT_EQ(recorded(2).status, RunStatus::interrupted);
  EXPECT_EQ(starts(3), 0);
  EXPECT_EQ(sweep("finish done").done, 2);
}

TEST_F(SweepRun, ASecondSignalDoesNotWait) {
  const SweepResult result = sweep(
      "trap '' TERM\n"
      "kill -INT $PPID; sleep 0.5; kill -INT $PPID\n"
      "while true; do sleep 0.02; done",
      1);
  EXPECT_EQ(result.exit_code(), 130);
  EXPECT_EQ(recorded(0).status, RunStatus::interrupted);
}

TEST_F(SweepRun, AStaleEpochRecordIsReplaced) {
  sweep("epoch 1 0.5; exit 1");
  EXPECT_EQ(recorded(0).epochs.size(), 1U);
  // Without a checkpoint the run starts over: nothing of before is kept.
  sweep("finish done");
  EXPECT_EQ(recorded(0).epochs.size(), 0U);
}

}  // namespace
}  // namespace zoo
