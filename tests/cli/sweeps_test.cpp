// The commands that stand on the sweep engine of zoo recall: train, longrange, shards of any of them, and merged
// stores.

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/cli/small_sweep.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Sweeps : public SmallSweep {
 protected:
  Arguments small(const std::string& command, const std::string& name) const {
    return {command,
            "--layer",
            "attention",
            "--d-model",
            "16",
            "--train-examples",
            "64",
            "--batch-size",
            "16",
            "--epochs",
            "2",
            "--store",
            store(name),
            "--out",
            directory_ / (name + ".out"),
            "--workers",
            "2"};
  }
};

TEST_F(Sweeps, TrainTestsWhereTrainingWasNot) {
  const ProcessResult result =
      run_zoo(small("train", "runs") + Arguments{"--task", "mqar", "--task-option", "vocab_size=64", "--seq-len", "32",
                                                 "--kv-pairs", "2", "--test-option", "num_passes=1,3",
                                                 "--test-examples", "20"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("num_passes 1"), HasSubstr("num_passes 3")));
  const auto made = runs();
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].spec.axes.at("cell").at("train"),
            json::parse(R"([{"examples": 64, "kv_pairs": 2, "num_passes": 1, "seq_len": 32}])"));
  ASSERT_EQ(made[0].slices.size(), 4U);
  for (const SliceResult& slice : made[0].slices) {
    EXPECT_TRUE(slice.metrics.contains("class_accuracy")) << slice.metrics;
    EXPECT_EQ(slice.labelled, 40);
  }
}

TEST_F(Sweeps, FreshDataAConstantRateAndAHeadOfItsOwnAreRecorded) {
  const ProcessResult result =
      run_zoo(small("train", "runs") + Arguments{"--task", "mqar", "--task-option", "vocab_size=128", "--fresh-data",
                                                 "true", "--schedule", "constant", "--tied-head", "false"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const zoo::Run run = runs().at(0);
  EXPECT_EQ(run.spec.setting.at("fresh_data"), true);
  EXPECT_EQ(run.spec.setting.at("tied_head"), false);
  EXPECT_EQ(run.epochs.at(0).learning_rate, run.epochs.at(1).learning_rate);
  EXPECT_EQ(run_zoo({"reproduce", run.id, "--store", store()}).exit_code, 0);
}

TEST_F(Sweeps, LongRangeTrainsShortAndTestsLong) {
  const ProcessResult result =
      run_zoo(small("longrange", "runs") + Arguments{"--tasks", "mqar", "--task-option", "vocab_size=4096",
                                                     "--task-option", "kv_pairs=2", "--train-len", "16", "--test-len",
                                                     "2^4..2^6,1024", "--test-examples", "64"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  std::map<std::int64_t, std::int64_t> labelled;
  const zoo::Run run = runs().at(0);
  for (const SliceResult& slice : run.slices) {
    const auto length = slice.slice.at("seq_len").get<std::int64_t>();
    if (slice.split == "validation") {
      EXPECT_EQ(length, 16);
    } else {
      labelled[length] = slice.labelled;
    }
  }
  // 64 examples at the length of training, fewer as they get longer, never below 16; two labels each.
  EXPECT_EQ(labelled, (std::map<std::int64_t, std::int64_t>{{16, 128}, {32, 64}, {64, 32}, {1024, 32}}));
}

TEST_F(Sweeps, ShardsTogetherAreTheSweep) {
  ASSERT_EQ(run_zoo(sweep("whole")).exit_code, 0);
  std::set<std::string> seen;
  for (const std::string number : {"1", "2", "3"}) {
    ASSERT_EQ(run_zoo(sweep("shard" + number) + Arguments{"--shard", number + "/3"}).exit_code, 0);
    for (const zoo::Run& run : runs("shard" + number)) {
      EXPECT_TRUE(seen.insert(run.id).second) << "run " << run.id << " is in two shards";
    }
    EXPECT_LE(runs("shard" + number).size(), 2U);
  }
  EXPECT_EQ(seen.size(), runs("whole").size());

  // One report of the three stores says what the report of the whole says.
  const auto table = [&](const Arguments& stores) {
    const ProcessResult result = run_zoo(Arguments{"report", "--out", directory_ / "merged", "--store"} + stores);
    EXPECT_EQ(result.exit_code, 0) << result.error;
    // Rows stand in the order in which layers were first run, which is not the same.
    std::multiset<std::string> lines;
    std::istringstream text(result.output);
    for (std::string line; std::getline(text, line);) lines.insert(line);
    return lines;
  };
  const auto merged = table({store("shard1"), store("shard2"), store("shard3")});
  EXPECT_EQ(merged, table({store("whole")}));
  EXPECT_EQ(merged, table({store("shard3"), store("whole"), store("shard3")}))
      << "runs that are there twice count once";
}

TEST_F(Sweeps, MadHasTheGridOfThePaper) {
  const Arguments small = {"mad",       "--layers", "attention", "--d-model", "16", "--feed-forward-option",
                           "hidden=16", "--dry-run"};
  // Variants of the six tasks (11 + 14 + 11 + 13 + 11 + 6) at three learning rates and two weight decays.
  const ProcessResult full = run_zoo(small);
  ASSERT_EQ(full.exit_code, 0) << full.error;
  EXPECT_THAT(full.output, HasSubstr("396 runs"));
  EXPECT_THAT(run_zoo(small + Arguments{"--quick"}).output, HasSubstr("6 runs"));
  EXPECT_THAT(run_zoo(small + Arguments{"--quick", "--seeds", "0,1,2", "--tasks", "compression,memorization"}).output,
              HasSubstr("6 runs"));
}

TEST_F(Sweeps, MadPrintsItsTable) {
  const ProcessResult result = run_zoo({"mad",
                                        "--quick",
                                        "--layers",
                                        "gla,rnn",
                                        "--d-model",
                                        "16",
                                        "--train-examples",
                                        "256",
                                        "--test-examples",
                                        "32",
                                        "--batch-size",
                                        "32",
                                        "--epochs",
                                        "1",
                                        "--tasks",
                                        "in_context_recall,compression",
                                        "--store",
                                        store(),
                                        "--out",
                                        directory_ / "out"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("in_context_recall"), HasSubstr("average"), HasSubstr("gla"), HasSubstr("rnn")));
  // The average is that of the columns, to the digits that are shown.
  std::map<std::string, std::vector<double>> rows;
  std::istringstream text(result.output);
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    std::string layer, width, figure;
    words >> layer >> width;
    if (layer != "gla" && layer != "rnn") continue;
    while (words >> figure) {
      if (figure.front() != '(') rows[layer].push_back(std::stod(figure));
    }
  }
  ASSERT_EQ(rows.size(), 2U) << result.output;
  for (const auto& [layer, figures] : rows) {
    ASSERT_EQ(figures.size(), 3U) << result.output;
    EXPECT_NEAR(figures[2], (figures[0] + figures[1]) / 2, 0.11) << layer;
  }
}

TEST_F(Sweeps, MadSaysWhichFiguresAreOfRunsThatDiverged) {
  const auto mad = [&](const std::string& rates) {
    return run_zoo({"mad",
                    "--quick",
                    "--layers",
                    "gla",
                    "--d-model",
                    "16",
                    "--train-examples",
                    "64",
                    "--test-examples",
                    "16",
                    "--batch-size",
                    "32",
                    "--epochs",
                    "1",
                    "--tasks",
                    "compression",
                    "--lr",
                    rates,
                    "--store",
                    store(),
                    "--out",
                    directory_ / "out"});
  };
  const ProcessResult wild = mad("1e30");
  ASSERT_EQ(wild.exit_code, 0) << wild.error;
  EXPECT_THAT(wild.error, HasSubstr("diverged: the loss was not finite at step"));
  EXPECT_THAT(wild.output,
              AllOf(HasSubstr("0.0 (0.0)†"), HasSubstr("† a run diverged; it counts as it was evaluated, else as 0.")));
  // Any other rate is better, also one whose runs get nothing right.
  const ProcessResult tame = mad("1e30,1e-3");
  ASSERT_EQ(tame.exit_code, 0) << tame.error;
  EXPECT_EQ(runs().size(), 2U);
  EXPECT_THAT(tame.output, Not(HasSubstr("†")));
}

TEST_F(Sweeps, StatesAreMatchedAtGivenWidths) {
  const ProcessResult result = run_zoo({"recall", "--layers", "attention,gla,mamba,rwkv4", "--match", "state=4096",
                                        "--d-model", "32", "--train-examples", "64", "--test-examples", "16",
                                        "--epochs", "1", "--store", store(), "--out", directory_ / "out"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  // What was chosen is shown.
  EXPECT_THAT(result.error + result.output,
              AllOf(HasSubstr("attention (window=9) d_model 32"), HasSubstr("gla (expand_k="),
                    HasSubstr("mamba (state="), HasSubstr("rwkv4 (hidden=")));
  EXPECT_EQ(runs().size(), 4U);
  for (const zoo::Run& run : runs()) {
    EXPECT_EQ(run.spec.axes.at("d_model"), 32);
    // A key and a value of attention are 256 bytes a block, what the other options change by is less.
    EXPECT_NEAR(run.slices.at(0).state_bytes, 4096, 256) << run.spec.subject;
  }
}

TEST_F(Sweeps, WidthsAreMatchedAndBelongToTheLayer) {
  const Arguments matched = {"recall",
                             "--layers",
                             "attention,mamba",
                             "--match",
                             "parameters=20000",
                             "--train-examples",
                             "64",
                             "--test-examples",
                             "16",
                             "--epochs",
                             "1",
                             "--store",
                             store(),
                             "--out",
                             directory_ / "out"};
  const ProcessResult result = run_zoo(matched);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  std::set<std::int64_t> widths;
  for (const zoo::Run& run : runs()) {
    EXPECT_FALSE(run.spec.axes.contains("d_model"));
    widths.insert(run.spec.subject.at("d_model").get<std::int64_t>());
    EXPECT_NEAR(run.summary.at("parameters").get<double>(), 20000, 5000) << run.spec.subject;
  }
  EXPECT_EQ(widths.size(), 2U) << "attention and mamba of one width have not as many parameters";
  EXPECT_EQ(run_zoo({"reproduce", runs().at(0).id, "--store", store()}).exit_code, 0);
}

TEST_F(Sweeps, HalvingStopsTheWorseHalfAndSurvivesKills) {
  const auto halving = [&](const std::string& name) {
    Arguments arguments = sweep(name);
    *std::next(std::ranges::find(arguments, "--lr")) = "0.03,0.01,0.003,0.0001";
    *std::next(std::ranges::find(arguments, "--epochs")) = "16";
    return arguments + Arguments{"--search", "halving", "--seeds", "0,1", "--stop-accuracy", "none"};
  };
  ASSERT_EQ(run_zoo(halving("whole")).exit_code, 0);
  std::map<std::size_t, int> lengths;
  std::string stopped;
  for (const zoo::Run& run : runs("whole")) {
    EXPECT_EQ(run.status, RunStatus::done);
    EXPECT_EQ(run.summary.contains("stopped"), run.epochs.size() < 16);
    EXPECT_EQ(run.slices.size(), 2U) << "what stops early is evaluated too";
    ++lengths[run.epochs.size()];
    if (run.epochs.size() == 4) stopped = run.id;
  }
  // Of four rates two stop after a quarter, one after half, for each of two layers and two seeds.
  EXPECT_EQ(lengths, (std::map<std::size_t, int>{{4, 8}, {8, 4}, {16, 4}}));
  EXPECT_EQ(run_zoo({"reproduce", stopped, "--store", store("whole")}).exit_code, 0);

  for (const int milliseconds : {150, 250, 350}) {
    run_process({.arguments = Arguments{ZOO_COMMAND} + halving("killed"),
                 .time_limit = std::chrono::milliseconds(milliseconds)});
  }
  ASSERT_EQ(run_zoo(halving("killed")).exit_code, 0);
  EXPECT_EQ(results("killed"), results("whole"));

  // What a search compares stays in one shard.
  std::size_t all = 0;
  for (const std::string number : {"1", "2", "3"}) {
    ASSERT_EQ(run_zoo(halving("shard" + number) + Arguments{"--shard", number + "/3"}).exit_code, 0);
    if (number == "3") {
      EXPECT_FALSE(std::filesystem::exists(store("shard3")) && !runs("shard3").empty());
      continue;
    }
    all += runs("shard" + number).size();
    EXPECT_EQ(runs("shard" + number).size(), 8U);
  }
  EXPECT_EQ(all, runs("whole").size());
}

TEST_F(Sweeps, WrongUseEndsWith2) {
  const struct {
    Arguments arguments;
    std::string message;
  } cases[] = {
      {{"train", "--layer", "attention"}, "--task is missing"},
      {{"train", "--task", "mqar"}, "--layers is missing"},
      {{"train", "--task", "mqar", "--layer", "attention", "--test-option", "vocab_size=128,256"}, "vocabular"},
      {{"train", "--task", "mqar", "--layer", "attention", "--test-option", "alpha=1,1"}, "alpha"},
      {{"train", "--task", "mqar", "--layer", "attention", "--fresh-data", "yes"}, "true or false"},
      {{"train", "--task", "mqar", "--layer", "attention", "--schedule", "cosin"}, "did you mean 'cosine'"},
      {{"train", "--task", "mqar", "--layer", "attention", "--shard", "0/2"}, "at least 1"},
      {{"train", "--task", "mqar", "--layer", "attention", "--shard", "3/2"}, "count from 1 to N"},
      {{"train", "--task", "mqar", "--layer", "attention", "--shard", "half"}, "write I/N"},
      {{"longrange", "--tasks", "mqar", "--test-len", "2^8..2^6"}, "goes down"},
      {{"longrange", "--tasks", "mqar", "--test-len", "3^2"}, "power of two"},
      {{"longrange", "--tasks", "mqar", "--test-len", "64,2^6"}, "64 twice"},
      {{"longrange", "--tasks", "mqr"}, "did you mean 'mqar'"},
      {{"mad", "--tasks", "compresion"}, "did you mean 'compression'"},
      {{"mad", "--quick", "--preset", "full"}, "contradict"},
      {{"mad", "--task", "mqar"}, "grid decides"},
      {{"recall", "--search", "halfing", "--lr", "0.1,0.2"}, "did you mean 'halving'"},
      {{"recall", "--search", "halving"}, "one learning rate"},
      {{"recall", "--search", "halving", "--lr", "0.1,0.2,0.3", "--epochs", "2"}, "at least 4 epochs"},
      {{"recall", "--match", "parameters"}, "parameters=N"},
      {{"recall", "--match", "params=100"}, "Known: parameters, state, flops"},
      {{"recall", "--match", "state=1", "--layers", "attention"}, "no width"},
      {{"recall", "--match", "flops=1e9", "--d-model", "64"}, "contradict"},
      {{"recall", "--match", "state=1000", "--d-model", "64", "--layers", "gru"}, "has no options that set"},
  };
  for (const auto& wrong : cases) {
    const ProcessResult result = run_zoo(wrong.arguments, {.directory = directory_.path()});
    EXPECT_EQ(result.exit_code, 2) << wrong.message;
    EXPECT_THAT(result.error, HasSubstr(wrong.message));
  }
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "runs.db"));
}

}  // namespace
}  // namespace zoo::test
