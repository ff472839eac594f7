#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/cli/background.h"
#include "tests/cli/small_sweep.h"
#include "zoo/core/random.h"
#include "zoo/sweep/lock.h"

namespace zoo::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Recall = SmallSweep;

TEST_F(Recall, MakesReportsAndDoesNotRepeat) {
  const ProcessResult first = run_zoo(sweep());
  ASSERT_EQ(first.exit_code, 0) << first.error;
  EXPECT_THAT(first.output, HasSubstr("results.csv"));
  EXPECT_THAT(first.error, AllOf(HasSubstr("[4/4]"), HasSubstr("test accuracy")));
  for (const zoo::Run& run : runs()) {
    EXPECT_EQ(run.status, RunStatus::done);
    EXPECT_EQ(run.epochs.size(), 3U);
    EXPECT_EQ(run.slices.size(), 2U);
    EXPECT_EQ(run.environment.at("threads"), 1);
    EXPECT_THAT(run.environment.at("command").get<std::string>(), HasSubstr("zoo recall --layers attention,base_conv"));
  }
  const std::string before = results();
  const ProcessResult second = run_zoo(sweep());
  EXPECT_EQ(second.exit_code, 0) << second.error;
  EXPECT_THAT(second.error, Not(HasSubstr("test accuracy")));
  EXPECT_EQ(results(), before);

  // One more learning rate is one more run a layer.
  Arguments more = sweep();
  *std::next(std::ranges::find(more, "--lr")) = "0.01,0.001,0.1";
  const ProcessResult third = run_zoo(more);
  EXPECT_EQ(third.exit_code, 0) << third.error;
  EXPECT_THAT(third.error, AllOf(HasSubstr("4 of 6 runs are done already"), HasSubstr("[2/2]"), Not(HasSubstr("[3/"))));
}

TEST_F(Recall, RunsInEachBackboneWithAFeedForward) {
  for (const std::string backbone : {"transformer", "mamba"}) {
    const ProcessResult result =
        run_zoo(sweep(backbone) + Arguments{"--backbone", backbone, "--feed-forward", "swiglu"});
    ASSERT_EQ(result.exit_code, 0) << result.error;
    ASSERT_EQ(runs(backbone).size(), 4U);
    for (const zoo::Run& run : runs(backbone)) {
      EXPECT_EQ(run.status, RunStatus::done);
      EXPECT_EQ(run.spec.setting.at("backbone"), backbone);
      EXPECT_EQ(run.spec.setting.at("feed_forward"), "swiglu");
    }
  }
}

TEST_F(Recall, WorkersAndRepetitionChangeNoBit) {
  ASSERT_EQ(run_zoo(sweep("two")).exit_code, 0);
  ASSERT_EQ(run_zoo(sweep("again")).exit_code, 0);
  Arguments alone = sweep("one");
  *std::next(std::ranges::find(alone, "--workers")) = "1";
  ASSERT_EQ(run_zoo(alone + Arguments{"--threads", "2"}).exit_code, 0);
  EXPECT_EQ(results("two"), results("again"));
  EXPECT_EQ(results("two"), results("one"));
  const auto two = runs("two");
  const auto one = runs("one");
  ASSERT_EQ(two.size(), one.size());
  for (std::size_t run = 0; run < one.size(); ++run) {
    ASSERT_EQ(one[run].epochs.size(), two[run].epochs.size());
    for (std::size_t i = 0; i < one[run].epochs.size(); ++i) {
      EXPECT_EQ(one[run].epochs[i].train_loss, two[run].epochs[i].train_loss);
      EXPECT_EQ(one[run].epochs[i].validation_loss, two[run].epochs[i].validation_loss);
    }
  }
}

TEST_F(Recall, KilledSweepsGoOnBitForBit) {
  ASSERT_EQ(run_zoo(long_sweep("whole")).exit_code, 0);
  Background sweep(long_sweep("killed"), directory_ / "errors");
  ASSERT_TRUE(wait_for([&] { return has_checkpoint(store("killed")); })) << sweep.errors();
  const std::vector<pid_t> workers = sweep.children();
  EXPECT_FALSE(workers.empty());
  sweep.send(SIGKILL);
  EXPECT_EQ(sweep.wait(), -SIGKILL);
  EXPECT_TRUE(has_checkpoint(store("killed"))) << "it ended before it could be killed";
  for (const pid_t worker : workers) {
    EXPECT_TRUE(wait_for([&] { return kill(worker, 0) != 0; })) << "a worker outlived its sweep";
  }
  const ProcessResult rest = run_zoo(long_sweep("killed"));
  ASSERT_EQ(rest.exit_code, 0) << rest.error;
  EXPECT_EQ(results("killed"), results("whole"));
  const auto whole = runs("whole");
  const auto killed = runs("killed");
  for (std::size_t run = 0; run < whole.size(); ++run) {
    EXPECT_EQ(killed[run].epochs.size(), whole[run].epochs.size());
    for (std::size_t i = 0; i < killed[run].epochs.size(); ++i) {
      EXPECT_EQ(killed[run].epochs[i].train_loss, whole[run].epochs[i].train_loss);
    }
  }
  EXPECT_FALSE(fs::exists(store("killed") + ".checkpoints"));
}

// However often, and in whatever state it is caught: twenty times, at moments drawn at random.
TEST_F(Recall, TwentyKillsChangeNothing) {
  ASSERT_EQ(run_zoo(long_sweep("whole")).exit_code, 0);
  RandomStream random(RandomKey::of(0, "moments"));
  for (int kill = 0; kill < 20; ++kill) {
    Background sweep(long_sweep("killed"), directory_ / "errors");
    std::this_thread::sleep_for(std::chrono::milliseconds(random.below(400)));
    sweep.send(SIGKILL);
    // A last kill may come too late; then there is nothing left to do for the others either.
    EXPECT_THAT(sweep.wait(), testing::AnyOf(-SIGKILL, 0)) << sweep.errors();
  }
  const ProcessResult rest = run_zoo(long_sweep("killed"));
  ASSERT_EQ(rest.exit_code, 0) << rest.error;
  EXPECT_EQ(results("killed"), results("whole"));
  const auto figures = [&](const std::string& name) {
    std::map<std::string, std::vector<double>> losses;
    for (const zoo::Run& run : runs(name)) {
      for (const EpochResult& epoch : run.epochs) losses[run.id].push_back(epoch.train_loss);
    }
    return losses;
  };
  EXPECT_EQ(figures("killed"), figures("whole"));
}

TEST_F(Recall, ACheckpointWithoutItsStoreIsNotGoneOnFrom) {
  ASSERT_EQ(run_zoo(long_sweep("whole")).exit_code, 0);
  Background sweep(long_sweep("lost"), directory_ / "errors");
  ASSERT_TRUE(wait_for([&] { return has_checkpoint(store("lost")); })) << sweep.errors();
  sweep.send(SIGKILL);
  sweep.wait();
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(store("lost") + end);
  ASSERT_TRUE(has_checkpoint(store("lost")));
  ASSERT_EQ(run_zoo(long_sweep("lost")).exit_code, 0);
  EXPECT_EQ(results("lost"), results("whole"));
  for (const zoo::Run& run : runs("lost")) EXPECT_EQ(run.epochs.size(), 24U);
}

TEST_F(Recall, CtrlCStopsAndTheSameCommandGoesOn) {
  ASSERT_EQ(run_zoo(long_sweep("whole")).exit_code, 0);
  Background sweep(long_sweep("stopped"), directory_ / "errors");
  ASSERT_TRUE(wait_for([&] { return has_checkpoint(store("stopped")); })) << sweep.errors();
  sweep.send(SIGINT);
  EXPECT_EQ(sweep.wait(), 130);
  EXPECT_THAT(sweep.errors(), AllOf(HasSubstr("stopping"), HasSubstr("to go on:\n  zoo recall --layers")));
  EXPECT_TRUE(
      std::ranges::any_of(runs("stopped"), [](const zoo::Run& run) { return run.status == RunStatus::interrupted; }));
  EXPECT_TRUE(fs::exists(directory_ / "stopped.out/results.csv"));
  ASSERT_EQ(run_zoo(long_sweep("stopped")).exit_code, 0);
  EXPECT_EQ(results("stopped"), results("whole"));
}

TEST_F(Recall, ACrashedRunIsRecordedAndTheSweepGoesOn) {
  // A sanitizer would catch the signal, report it and exit.
  for (const char* name : {"ASAN_OPTIONS", "TSAN_OPTIONS"}) {
    const char* options = std::getenv(name);
    setenv(name, (std::string(options == nullptr ? "" : options) + ":handle_segv=0").c_str(), 1);
  }
  Background sweep(long_sweep("crashed"), directory_ / "errors");
  std::vector<pid_t> workers;
  ASSERT_TRUE(wait_for([&] { return !(workers = sweep.children()).empty() && has_checkpoint(store("crashed")); }));
  kill(workers.front(), SIGSEGV);
  EXPECT_EQ(sweep.wait(), 1);
  EXPECT_THAT(sweep.errors(), HasSubstr("1 of 4 runs failed"));
  int failed = 0;
  for (const zoo::Run& run : runs("crashed")) {
    if (run.status == RunStatus::done) continue;
    ++failed;
    EXPECT_EQ(run.status, RunStatus::failed);
    EXPECT_THAT(run.message, HasSubstr("signal 11 (Segmentation fault)"));
  }
  EXPECT_EQ(failed, 1);
  const ProcessResult again = run_zoo(long_sweep("crashed"));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.error, HasSubstr("3 of 4 runs are done already"));
}

TEST_F(Recall, DivergenceIsAResult) {
  Arguments wild = sweep();
  *std::next(std::ranges::find(wild, "--lr")) = "1e30";
  const ProcessResult result = run_zoo(wild);
  EXPECT_EQ(result.exit_code, 0) << result.error;
  for (const zoo::Run& run : runs()) {
    EXPECT_EQ(run.status, RunStatus::diverged);
    EXPECT_THAT(run.message, HasSubstr("step"));
  }
  EXPECT_THAT(run_zoo(wild).error, Not(HasSubstr("[1/")));
}

TEST_F(Recall, PluginLayersReachTheWorkers) {
  Arguments arguments = sweep();
  *std::next(std::ranges::find(arguments, "--layers")) = "token_shift,base_conv+token_shift";
  const ProcessResult result = run_zoo(arguments + Arguments{"--plugin", std::string(ZOO_PLUGINS) + "/token_shift.so"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_EQ(runs().size(), 4U);
  EXPECT_THAT(runs().front().environment.at("command").get<std::string>(), HasSubstr("--plugin"));
}

TEST_F(Recall, AMixtureIsTestedOnAllItsParts) {
  const ProcessResult result = run_zoo({"recall",
                                        "--layer",
                                        "attention",
                                        "--option",
                                        "heads=2",
                                        "--d-model",
                                        "16",
                                        "--vocab-size",
                                        "64",
                                        "--train",
                                        "16:2:32,32:4:16",
                                        "--test",
                                        "16:2:8,32:8:8",
                                        "--batch-size",
                                        "16",
                                        "--epochs",
                                        "1",
                                        "--seed",
                                        "3",
                                        "--store",
                                        store(),
                                        "--out",
                                        directory_ / "runs.out"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  ASSERT_EQ(runs().size(), 1U);
  EXPECT_EQ(runs()[0].slices.size(), 4U);
  EXPECT_EQ(runs()[0].spec.axes.at("seed"), 3);
  EXPECT_EQ(runs()[0].spec.subject.at("layer_options").at("attention").at("heads"), 2);
}

TEST_F(Recall, DryRunListsAndWritesNothing) {
  const ProcessResult result = run_zoo(sweep() + Arguments{"--dry-run"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("attention d_model 16 lr 0.01 seed 0 T 16 kv 2"), HasSubstr("parameters"),
                                   HasSubstr("4 runs, 0 done already"), HasSubstr("on 2 workers")));
  EXPECT_FALSE(fs::exists(store()));
  EXPECT_FALSE(fs::exists(directory_ / "runs.out"));
  ASSERT_EQ(run_zoo(sweep()).exit_code, 0);
  EXPECT_THAT(run_zoo(sweep() + Arguments{"--dry-run"}).output,
              AllOf(HasSubstr("4 runs, 4 done already"), HasSubstr("earlier runs in the store")));
}

TEST_F(Recall, ConfigFilesHoldSettings) {
  const std::string config = directory_ / "sweep.cfg";
  write_file(config,
             "# two cells\nlayers = base_conv\n\nd-model = 16\nseq-len = 16,32\nkv-pairs = 2   # of both\n"
             "vocab-size = 64\nepochs = 7\nbatch-size = 8\nlayer-option = base_conv.conv_kernel=2\n");
  const ProcessResult result = run_zoo({"recall", "--config", config, "--epochs", "5", "--dry-run", "--lr", "0.25"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("base_conv d_model 16 lr 0.25 seed 0 T 16 kv 2"), HasSubstr("T 32 kv 2"),
                                   HasSubstr("2 runs")));

  write_file(config, "layers = base_conv\nepochs 5\n");
  EXPECT_THAT(run_zoo({"recall", "--config", config}).error, AllOf(HasSubstr("sweep.cfg:2"), HasSubstr("epochs 5")));
  write_file(config, "layers = base_conv\n\nepoch = 5\n");
  EXPECT_THAT(run_zoo({"recall", "--config", config}).error, AllOf(HasSubstr("sweep.cfg:3"), HasSubstr("epochs")));
  write_file(config, std::string("\x7f"
                                 "ELF\x02\x01\0\0\0\n\xff\xfe\n",
                                 13));
  const ProcessResult binary = run_zoo({"recall", "--config", config});
  EXPECT_EQ(binary.exit_code, 2);
  EXPECT_THAT(binary.error, HasSubstr("sweep.cfg:1"));
  EXPECT_EQ(run_zoo({"recall", "--config", directory_ / "nowhere.cfg"}).exit_code, 2);
}

struct Wrong {
  Arguments arguments;
  std::string expected;
};

TEST_F(Recall, WrongUseEndsWith2BeforeAnyWork) {
  write_file(directory_ / "text.db", "this is not a database, whatever its name says; not at all\n");
  write_file(directory_ / "file", "");
  const std::vector<Wrong> all = {
      {{"--layers", "atention"}, "attention"},
      {{"--layers", ""}, "empty"},
      {{"--layer-option", "attention.head=2"}, "heads"},
      {{"--layer-option", "attention.positions=learnt"}, "learned"},
      {{"--preset", "quik"}, "quick"},
      {{"--lr", "nan"}, "finite"},
      {{"--lr", "-1"}, "above zero"},
      {{"--workers", "0"}, "at least 1"},
      {{"--workers", "two"}, "whole number"},
      {{"--layer-option", "attention.heads=3"}, "heads"},
      {{"--kv-pairs", "8"}, "T 16 kv 8"},
      {{"--vocab-size", "8"}, "vocab"},
      {{"--kv-pairs", "2,4,1", "--seq-len", "16,32"}, "go in pairs"},
      {{"--train", "16:2:10", "--test", "16:2:10"}, "contradict"},
      {{"--option", "heads=2"}, "--layer-option"},
      {{"--learning-rate", "1"}, "learning-rate"},
      {{"--epoch", "1"}, "epochs"},
      {{"attention"}, "options only"},
      {{"--epochs"}, "epochs"},
      {{"--dry-run=maybe"}, "dry-run"},
      {{"--backbone", "recal"}, "recall"},
      {{"--feed-forward", "swiglo"}, "swiglu"},
      {{"--stop-accuracy", "2"}, "at most 1"},
      {{"--store", directory_ / "text.db"}, "text.db"},
      {{"--store", directory_ / "nowhere/runs.db"}, "nowhere"},
      {{"--store", ""}, "--store"},
      {{"--out", directory_ / "file"}, "file"},
      {{"--out", "/proc/nowhere"}, "/proc/nowhere"},
  };
  for (const Wrong& wrong : all) {
    // What is given replaces the sweep's own value of that name.
    Arguments arguments = sweep();
    for (std::size_t i = 0; i + 1 < wrong.arguments.size(); i += 2) {
      const auto same = std::ranges::find(arguments, wrong.arguments[i]);
      if (same != arguments.end()) arguments.erase(same, same + 2);
    }
    const ProcessResult result = run_zoo(arguments + wrong.arguments);
    const std::string given = testing::PrintToString(wrong.arguments);
    EXPECT_EQ(result.exit_code, 2) << given << result.output << result.error;
    EXPECT_THAT(result.error, AllOf(HasSubstr("zoo: "), HasSubstr(wrong.expected))) << given;
    EXPECT_FALSE(fs::exists(store() + ".checkpoints")) << given;
  }
  EXPECT_EQ(read_file(directory_ / "text.db").substr(0, 7), "this is");
}

TEST_F(Recall, EverySettingThatCannotBeMetIsListed) {
  const ProcessResult result = run_zoo({"recall", "--layers", "attention,base_conv", "--layer-option",
                                        "attention.heads=4", "--d-model", "16,18", "--vocab-size", "64", "--seq-len",
                                        "16,32", "--kv-pairs", "8,4", "--store", store(), "--out", directory_ / "out"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr("5 of 8 runs"), HasSubstr("T 16 kv 8"),
                                  HasSubstr("attention d_model 18 T 32 kv 4"), Not(HasSubstr("base_conv d_model"))));
  EXPECT_FALSE(fs::exists(store()));
}

TEST_F(Recall, TwoSweepsDoNotShareAStore) {
  const StoreLock lock(store());
  const ProcessResult result = run_zoo(sweep());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr("another sweep"), HasSubstr(std::to_string(getpid()))));
}

TEST_F(Recall, HelpNamesPresetsAndOptions) {
  const ProcessResult result = run_zoo({"recall", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* name : {"quick", "figure2-small", "figure2", "recall-memory", "--layers", "--kv-pairs", "--dry-run",
                           "--stop-accuracy", "--config"}) {
    EXPECT_THAT(result.output, HasSubstr(name));
  }
}

TEST_F(Recall, AWorkerAloneSaysWhatItIsFor) {
  const ProcessResult result = run_zoo({"worker"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, HasSubstr("zoo recall"));
}

}  // namespace
}  // namespace zoo::test
