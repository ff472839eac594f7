#include <gmock/gmock.h>
#include <signal.h>

#include <iterator>

#include "tests/cli/background.h"
#include "tests/cli/sanitizers.h"
#include "tests/cli/small_lm.h"

namespace zoo::test {
namespace {

namespace fs = std::filesystem;
using Lm = SmallLm;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(Lm, TrainsEvaluatesAndGenerates) {
  const ProcessResult trained = run_zoo(train("run"));
  ASSERT_EQ(trained.exit_code, 0) << trained.error;
  EXPECT_THAT(trained.output, AllOf(HasSubstr("perplexity"), HasSubstr("of state")));
  const ProcessResult again = run_zoo(train("run"));
  EXPECT_EQ(again.exit_code, 0) << again.error;
  EXPECT_EQ(again.output, trained.output);
  EXPECT_THAT(again.error, Not(HasSubstr("validation loss")));  // nothing is trained twice

  const ProcessResult evaluated = run_zoo({"lm", "eval", "--checkpoint", directory_ / "run", "--corpus",
                                           directory_ / "corpus", "--tokens", "128", "--json"});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.error;
  const auto figures = nlohmann::json::parse(evaluated.output);
  EXPECT_EQ(figures.at("tokens"), 128);
  EXPECT_THAT(trained.output, HasSubstr(fmt::format("perplexity {:.3f}", figures.at("perplexity").get<double>())));

  const Arguments generate{"lm",   "generate",     "--checkpoint", directory_ / "run", "--prompt",
                           "word", "--max-tokens", "20",           "--seed",           "3"};
  const ProcessResult first = run_zoo(generate), second = run_zoo(generate);
  ASSERT_EQ(first.exit_code, 0) << first.error;
  EXPECT_EQ(first.output, second.output);
  EXPECT_EQ(first.output.substr(0, 4), "word");
  EXPECT_THAT(first.error, HasSubstr("tokens/s"));

  std::ofstream(directory_ / "prompts") << "word\nwo\nword\n";
  const ProcessResult batch = run_zoo({"lm", "generate", "--checkpoint", directory_ / "run", "--batch",
                                       directory_ / "prompts", "--max-tokens", "5", "--temperature", "0"});
  ASSERT_EQ(batch.exit_code, 0) << batch.error;
  std::vector<nlohmann::json> lines;
  std::istringstream text(batch.output);
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], lines[2]);
  EXPECT_EQ(lines[1].at("prompt"), "wo");
}

TEST_F(Lm, KilledAtAnyMomentGoesOnBitForBit) {
  ASSERT_EQ(run_zoo(train("whole") + Arguments{"--checkpoint-every", "1"}).exit_code, 0);
  const Arguments killed = train("killed") + Arguments{"--checkpoint-every", "1"};
  RandomStream random(RandomKey::of(1, "kill"));
  for (int time = 0; time < 8; ++time) {
    Background process(killed, directory_ / "errors");
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random.below(120)));
    process.send(SIGKILL);
    process.wait();
  }
  const ProcessResult last = run_zoo(killed);
  ASSERT_EQ(last.exit_code, 0) << last.error;
  EXPECT_EQ(model("killed"), model("whole"));
}

TEST_F(Lm, AnInterruptLeavesACheckpoint) {
  Arguments arguments = train("run");
  *std::next(std::ranges::find(arguments, "--steps")) = "1000000";
  Background process(arguments, directory_ / "errors");
  while (!fs::exists(directory_ / "run/log.jsonl") || fs::file_size(directory_ / "run/log.jsonl") == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  process.send(SIGINT);
  EXPECT_EQ(process.wait(), 130);
  EXPECT_THAT(process.errors(), HasSubstr("to go on"));
  EXPECT_FALSE(fs::is_empty(directory_ / "run/checkpoints"));
}

TEST_F(Lm, AFullDiskLeavesTheCheckpointBeforeAndTheNextCallGoesOn) {
  if (thread_sanitizer) GTEST_SKIP() << "ThreadSanitizer does not run where files must not grow";
  const auto wide = [&](const std::string& name) {
    Arguments arguments = train(name) + Arguments{"--checkpoint-every", "1"};
    *std::next(std::ranges::find(arguments, "--d-model")) = "64";
    *std::next(std::ranges::find(arguments, "--steps")) = "60";
    return arguments;
  };
  ASSERT_EQ(run_zoo(wide("whole")).exit_code, 0);
  const fs::path checkpoints = directory_ / "full/checkpoints";
  {
    Background process(wide("full"), directory_ / "errors");
    ASSERT_TRUE(wait_for([&] { return fs::exists(checkpoints / "step-00000003"); }));
    process.send(SIGINT);
    ASSERT_EQ(process.wait(), 130);
  }
  std::vector<fs::path> before(fs::directory_iterator(checkpoints), {});
  ASSERT_EQ(before.size(), 2U);
  // A limit on the size of files is refused in the same way; its signal is ignored, as a full disk sends none. The
  // store fits, a checkpoint's moments do not.
  const std::string script = "trap '' XFSZ; ulimit -f 300; exec \"$0\" \"$@\"";
  const ProcessResult full =
      run_process({.arguments = Arguments{"/bin/bash", "-c", script, ZOO_COMMAND} + wide("full")});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.error, HasSubstr("optimizer.safetensors"));
  for (const fs::path& checkpoint : before) EXPECT_TRUE(fs::exists(checkpoint / "state.json"));
  EXPECT_EQ(std::distance(fs::directory_iterator(checkpoints), {}), 2);  // and nothing half written
  const ProcessResult next = run_zoo(wide("full"));
  ASSERT_EQ(next.exit_code, 0) << next.error;
  EXPECT_THAT(next.error, HasSubstr("goes on after step"));
  EXPECT_EQ(model("full", "00000060"), model("whole", "00000060"));
}

TEST_F(Lm, EvaluatesOnTheTokensItWasTrainedOnOnly) {
  ASSERT_EQ(run_zoo(train("run")).exit_code, 0);
  ASSERT_EQ(run_zoo({"lm", "prepare", "--text", directory_ / "text0", directory_ / "text1", "--tokenizer", "bpe:290",
                     "--validation", "0.5", "--out", directory_ / "other"})
                .exit_code,
            0);
  const ProcessResult result =
      run_zoo({"lm", "eval", "--checkpoint", directory_ / "run", "--corpus", directory_ / "other"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr("bpe:290"), HasSubstr("byte")));
}

TEST_F(Lm, ComparesWhatIsAlikeAndRefusesWhatIsNot) {
  const ProcessResult result = run_zoo(Arguments{"lm", "compare", "--layers", "attention,min_gru", "--seeds", "0,1",
                                                 "--out", directory_ / "both", "--layer-option", "attention.window=8"} +
                                       sizes());
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("attention"), HasSubstr("min_gru"), HasSubstr("report.html")));
  const auto json = nlohmann::json::parse(read_file(directory_ / "both/results.json"));
  ASSERT_EQ(json.at("runs").size(), 4U);
  // One seed, one order of the data, whatever the layer.
  EXPECT_EQ(json.at("runs")[0].at("summary").at("data_hash"), json.at("runs")[2].at("summary").at("data_hash"));
  EXPECT_NE(json.at("runs")[0].at("summary").at("data_hash"), json.at("runs")[1].at("summary").at("data_hash"));
  EXPECT_EQ(json.at("runs")[0].at("subject").at("layer_options").at("attention").at("window"), 8);

  // The folder of a comparison stands for its runs.
  ASSERT_EQ(run_zoo({"lm", "compare", "--runs", directory_ / "both", "--out", directory_ / "again"}).exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(read_file(directory_ / "again/results.json")).at("runs").size(), 4U);
  fs::create_directory(directory_ / "empty");
  const ProcessResult nothing =
      run_zoo({"lm", "compare", "--runs", directory_ / "empty", "--out", directory_ / "again"});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.error, HasSubstr("neither it nor a folder in it has a run.json"));

  ASSERT_EQ(run_zoo(train("one")).exit_code, 0);
  ASSERT_EQ(run_zoo(train("alike", "lstm")).exit_code, 0);
  ASSERT_EQ(run_zoo(train("wider", "lstm") + Arguments{"--feed-forward", "mlp"}).exit_code, 0);
  const auto compare = [&](const std::string& a, const std::string& b) {
    return run_zoo({"lm", "compare", "--runs", (directory_ / a) + "," + (directory_ / b), "--out", directory_ / "out"});
  };
  EXPECT_EQ(compare("one", "alike").exit_code, 0);
  const ProcessResult refused = compare("one", "wider");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.error, AllOf(HasSubstr("identical settings"), HasSubstr("feed_forward")));
}

TEST_F(Lm, TheLadderOfTttHoldsTheoremOne) {
  Arguments arguments = Arguments{"lm", "ablate", "ttt", "--out", directory_ / "ladder"} + sizes();
  *std::next(std::ranges::find(arguments, "--steps")) = "3";
  const ProcessResult result = run_zoo(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("15.91"), HasSubstr("11.09")));
  const auto rows = nlohmann::json::parse(read_file(directory_ / "ladder/results.json")).at("rows");
  ASSERT_EQ(rows.size(), 8U);
  // Linear attention with a LayerNorm, and TTT with a linear model and the batch's gradient: one function (theorem 1).
  // Their first weights are drawn by name, and have the same names.
  EXPECT_NEAR(rows[1].at("perplexity").get<double>() / rows[2].at("perplexity").get<double>(), 1, 1e-3);
}

TEST_F(Lm, RefusesWhatCannotBe) {
  const auto error = [](const Arguments& arguments, int code = 2) {
    const ProcessResult result = run_zoo(arguments);
    EXPECT_EQ(result.exit_code, code) << testing::PrintToString(arguments) << result.error;
    return result.error;
  };
  EXPECT_THAT(error({"lm"}), HasSubstr("train"));
  EXPECT_THAT(error({"lm", "trian"}), HasSubstr("did you mean 'train'"));
  EXPECT_THAT(error({"lm", "train", "--layer", "attention"}), HasSubstr("--out"));
  EXPECT_THAT(error(train("run", "atention")), HasSubstr("attention"));
  EXPECT_THAT(error(train("run") + Arguments{"--option", "heads=3"}), HasSubstr("not divisible"));
  EXPECT_THAT(error(train("run") + Arguments{"--lr", "nan"}), HasSubstr("--lr"));
  EXPECT_THAT(error(train("run") + Arguments{"--beta2", "1"}), HasSubstr("--beta2"));
  EXPECT_THAT(error(train("run") + Arguments{"--micro-batch", "0"}), HasSubstr("--micro-batch"));
  Arguments odd = train("run");
  *std::next(std::ranges::find(odd, "--batch-tokens")) = "100";
  EXPECT_THAT(error(odd), HasSubstr("multiple of the context"));
  Arguments wide = train("run");
  *std::next(std::ranges::find(wide, "--context")) = "1000000";
  *std::next(std::ranges::find(wide, "--batch-tokens")) = "1000000";
  EXPECT_THAT(error(wide), HasSubstr("shorter --context"));
  Arguments nowhere = train("run");
  *std::next(std::ranges::find(nowhere, "--corpus")) = directory_ / "nowhere";
  EXPECT_THAT(error(nowhere), HasSubstr("nowhere"));

  ASSERT_EQ(run_zoo(train("run")).exit_code, 0);
  EXPECT_THAT(error(train("run") + Arguments{"--seed", "1"}), AllOf(HasSubstr("another run"), HasSubstr("seed")));
  EXPECT_THAT(error({"lm", "generate", "--checkpoint", directory_ / "nothing", "--prompt", "a"}), HasSubstr("nothing"));
  EXPECT_THAT(error({"lm", "generate", "--checkpoint", directory_ / "run"}), HasSubstr("--prompt"));
  EXPECT_THAT(error({"lm", "generate", "--checkpoint", directory_ / "run", "--prompt", "a", "--top-p", "2"}),
              HasSubstr("top-p"));

  const std::string state = directory_ / "run/checkpoints/step-00000008/state.json";
  const auto good = nlohmann::json::parse(read_file(state));
  const auto broken = [&](const nlohmann::json& patch) {
    nlohmann::json bad = good;
    bad.merge_patch(patch);
    std::ofstream(state) << bad.dump();
    return error({"lm", "generate", "--checkpoint", directory_ / "run", "--prompt", "a"});
  };
  EXPECT_THAT(broken({{"version", 99}}), HasSubstr("newer zoo"));
  EXPECT_THAT(broken({{"model", {{"d_model", 1000000000}}}}), Not(HasSubstr("out of memory")));
  EXPECT_THAT(broken({{"model", {{"blocks", 1000000000}}}}), HasSubstr("blocks"));
  EXPECT_THAT(broken({{"model", {{"layer", "mamba"}}}}), HasSubstr("options were given"));
  EXPECT_THAT(broken({{"model", 3}}), HasSubstr("model"));
}

}  // namespace
}  // namespace zoo::test
