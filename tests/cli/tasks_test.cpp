#include <gmock/gmock.h>

#include "tests/cli/command.h"
#include "zoo/core/task.h"
#include "zoo/io/safetensors.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(Tasks, Lists) {
  const ProcessResult result = run_zoo({"tasks"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, AllOf(HasSubstr("\n  mqar "), HasSubstr("multi-query associative recall")));
  const json all = json::parse(run_zoo({"tasks", "--json"}).output)["tasks"];
  EXPECT_TRUE(std::ranges::any_of(all, [](const json& task) { return task["name"] == "mqar"; }));
}

TEST(Tasks, DescribesOne) {
  const ProcessResult result = run_zoo({"tasks", "mqar"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output,
              AllOf(StartsWith("mqar: "), HasSubstr("kv_pairs=4"), HasSubstr("alpha=0.01"), HasSubstr("Zoology")));
  const json described = json::parse(run_zoo({"tasks", "mqar", "--json"}).output);
  EXPECT_EQ(described["name"], "mqar");
  EXPECT_THAT(
      described["options"],
      Contains(testing::Truly([](const json& o) { return o["name"] == "vocab_size" && o["default"] == 8192; })));
}

TEST(Tasks, SamplesAreAnnotated) {
  const ProcessResult result =
      run_zoo({"tasks", "mqar", "--sample", "3", "--option", "kv_pairs=2", "--option", "seq_len=16"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output,
              AllOf(StartsWith("example 0 of train, seed 0: 16 tokens"), HasSubstr("\nexample 2 of train, seed 0: "),
                    HasSubstr("  key "), HasSubstr(", label "), testing::Not(HasSubstr("example 3"))));
  const std::vector<std::string> again = {"tasks",  "mqar",    "--sample", "2",      "--option", "kv_pairs=2",
                                          "--json", "--split", "test",     "--seed", "5"};
  const json samples = json::parse(run_zoo(again).output);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[1]["index"], 1);
  EXPECT_EQ(samples[1]["tokens"].size(), 64u);
  EXPECT_EQ(std::ranges::count_if(samples[1]["labels"], [](const json& label) { return label != -100; }), 2);
}

template <typename T>
std::vector<T> read_all(const SafetensorsFile& file, const std::string& name) {
  std::vector<T> values(file.bytes(name) / sizeof(T));
  file.read(name, std::as_writable_bytes(std::span(values)));
  return values;
}

TEST(Tasks, ExportsWhatItSamples) {
  const TemporaryDirectory folder;
  const std::string path = folder / "data.safetensors";
  const ProcessResult result = run_zoo({"tasks", "mqar", "--export", path, "--split", "validation", "--seed", "9",
                                        "--count", "7", "--option", "seq_len=32", "--option", "kv_pairs=3"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr(path));
  const SafetensorsFile file(path);
  EXPECT_EQ(file.info("tokens"), (SafetensorsInfo{"tokens", "I32", {7, 32}}));
  EXPECT_EQ(file.info("labels"), (SafetensorsInfo{"labels", "I32", {7, 32}}));
  EXPECT_EQ(file.info("slice.kv_pairs"), (SafetensorsInfo{"slice.kv_pairs", "I64", {7}}));
  std::vector<std::int64_t> lengths(7);
  file.read("slice.seq_len", std::as_writable_bytes(std::span(lengths)));
  EXPECT_THAT(lengths, testing::Each(32));
  EXPECT_EQ(file.metadata().at("task"), "mqar");
  EXPECT_EQ(file.metadata().at("split"), "validation");
  EXPECT_EQ(file.metadata().at("seed"), "9");
  const json options = json::parse(file.metadata().at("options"));
  EXPECT_EQ(options["kv_pairs"], 3);
  EXPECT_EQ(options["vocab_size"], 8192) << "defaults are recorded too";

  const json samples = json::parse(run_zoo({"tasks", "mqar", "--sample", "7", "--json", "--split", "validation",
                                            "--seed", "9", "--option", "seq_len=32", "--option", "kv_pairs=3"})
                                       .output);
  std::vector<std::int32_t> tokens, labels;
  for (const json& sample : samples) {
    for (const json& token : sample["tokens"]) tokens.push_back(token);
    for (const json& label : sample["labels"]) labels.push_back(label);
  }
  EXPECT_EQ(read_all<std::int32_t>(file, "tokens"), tokens);
  EXPECT_EQ(read_all<std::int32_t>(file, "labels"), labels);
}

TEST(Tasks, ExportsNumbersAndTheirTargets) {
  const TemporaryDirectory folder;
  const std::string path = folder / "data.safetensors";
  ASSERT_EQ(run_zoo({"tasks", "adding", "--export", path, "--count", "3", "--option", "seq_len=20"}).exit_code, 0);
  const SafetensorsFile file(path);
  EXPECT_EQ(file.info("reals"), (SafetensorsInfo{"reals", "F32", {3, 20, 2}}));
  EXPECT_EQ(file.info("targets"), (SafetensorsInfo{"targets", "F32", {3, 20}}));
  EXPECT_FALSE(file.has("tokens"));
  const auto reals = read_all<float>(file, "reals");
  const auto targets = read_all<float>(file, "targets");
  const auto labels = read_all<std::int32_t>(file, "labels");
  for (std::size_t example = 0; example < 3; ++example) {
    float sum = 0;
    for (std::size_t step = 20 * example; step < 20 * (example + 1); ++step)
      sum += reals[2 * step] * reals[2 * step + 1];
    const std::size_t last = 20 * example + 19;
    EXPECT_EQ(targets[last], sum) << "the target is the sum of the two numbers that are marked";
    EXPECT_NE(labels[last], -100);
    EXPECT_EQ(labels[last - 1], -100);
  }
}

TEST(Tasks, ExportsGroupsOfLabels) {
  const TemporaryDirectory folder;
  const std::string path = folder / "data.safetensors";
  const ProcessResult result = run_zoo({"tasks", "forgetting", "--export", path, "--count", "4"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const SafetensorsFile file(path);
  std::vector<std::int32_t> groups;
  for (const json& sample : json::parse(run_zoo({"tasks", "forgetting", "--sample", "4", "--json"}).output)) {
    for (const json& group : sample["groups"]) groups.push_back(group);
  }
  ASSERT_FALSE(groups.empty());
  EXPECT_EQ(read_all<std::int32_t>(file, "groups"), groups);
}

TEST(Tasks, WrongUsageSaysWhatIsAllowed) {
  const TemporaryDirectory folder;
  struct Wrong {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Wrong> wrong = {
      {{"mqra"}, "unknown task 'mqra'; did you mean 'mqar'?"},
      {{"mqar", "--sampel", "3"}, "unknown option '--sampel'; did you mean '--sample'?"},
      {{"mqar", "--sample", "0"}, "--sample"},
      {{"mqar", "--sample", "three"}, "three"},
      {{"mqar", "--sample"}, "--sample"},
      {{"mqar", "other"}, "one task's name"},
      {{"--sample", "3"}, "--sample needs a task"},
      {{"mqar", "--option", "kv_pairs=2"}, "--option needs --sample N or --export FILE"},
      {{"mqar", "--sample", "1", "--count", "2"}, "--count needs --export FILE"},
      {{"mqar", "--sample", "1", "--export", folder / "f"}, "give one"},
      {{"mqar", "--export", folder / "f", "--json"}, "--json"},
      {{"mqar", "--sample", "1", "--option", "kv_pairs"}, "kv_pairs"},
      {{"mqar", "--sample", "1", "--option", "kv_pair=2"}, "did you mean 'kv_pairs'?"},
      {{"mqar", "--sample", "1", "--option", "kv_pairs=2", "--option", "kv_pairs=3"}, "kv_pairs"},
      {{"mqar", "--sample", "1", "--option", "kv_pairs=17"}, "raise seq_len to 68 or lower kv_pairs to 16"},
      {{"mqar", "--sample", "1", "--split", "tset"}, "did you mean 'test'?"},
      {{"mqar", "--sample", "1", "--seed", "-1"}, "--seed"},
      {{"mqar", "--export", folder / "f", "--count", "0"}, "--count"},
      {{"mqar", "--export", folder / "f", "--count", "9223372036854775807"}, folder / "f"},
      {{"mqar", "--export", folder / "missing/f"}, "cannot write '" + (folder / "missing/f") + "': No such file"},
      {{"mqar", "--export", folder.path().string()}, "Is a directory"},
      {{"mqar", "--export", ""}, "cannot write ''"}};
  for (const auto& [arguments, message] : wrong) {
    std::vector<std::string> all = {"tasks"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const ProcessResult result = run_zoo(all);
    EXPECT_EQ(result.exit_code, 2) << json(all);
    EXPECT_THAT(result.output, IsEmpty()) << json(all);
    EXPECT_THAT(result.error, HasSubstr(message)) << json(all);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const ProcessResult help = run_zoo({"tasks", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, AllOf(HasSubstr("zoo tasks [NAME]"), HasSubstr("--export")));
}

TEST(Tasks, AnExportThatDoesNotFitOnTheDiskLeavesWhatWasThere) {
  const TemporaryDirectory folder;
  write_file(folder / "file", "old");
  // A limit on the size of files (in blocks of 512 bytes) stands for the end of the disk.
  const ProcessResult result =
      run_process({.arguments = {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" tasks mqar --export \"$1\"",
                                 ZOO_COMMAND, folder / "file"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error, HasSubstr("cannot write '" + (folder / "file") + "': File too large"));
  EXPECT_EQ(read_file(folder / "file"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  const ProcessResult full = run_zoo({"tasks", "mqar", "--export", "/dev/full"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.error, HasSubstr("cannot write '/dev/full': No space left on device"));
}

}  // namespace
}  // namespace zoo::test
