// tests/golden/tasks.txt pins what every generator makes: results made with other hashes are of other data. A line is
//
//     TASK OPTIONS SPLIT HASH
//
// for each task, each of its test cases (as JSON without spaces) and each split: the hash of the first 100 examples,
// seed 0.

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/unit/example_hash.h"
#include "zoo/core/task.h"

namespace zoo::test {
namespace {

const std::string table_path = ZOO_SOURCE_FOLDER "/tests/golden/tasks.txt";

/// Hashes by "TASK OPTIONS SPLIT".
std::map<std::string, std::string> read_table() {
  std::map<std::string, std::string> table;
  std::ifstream file(table_path);
  EXPECT_TRUE(file) << "cannot read " << table_path;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    std::istringstream fields(line);
    std::string task, options, split, hash, rest;
    EXPECT_TRUE(fields >> task >> options >> split >> hash && !(fields >> rest)) << "a line of four fields: " << line;
    EXPECT_TRUE(table.emplace(task + " " + options + " " + split, hash).second) << "twice: " << line;
  }
  return table;
}

std::vector<std::string> task_names() {
  return task_registry().names();
}

class GoldenTasks : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTasks, MakeTheExamplesOfTheTable) {
  const auto table = read_table();
  std::string expected_lines;
  for (const nlohmann::json& options : task_registry().get(GetParam()).test_cases) {
    const auto task = make_task(GetParam(), options);
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const std::string name = GetParam() + " " + options.dump() + " " + std::string(split_name(split));
      ExampleHash hash;
      hash.add(*task, split, 100);
      expected_lines += name + " " + hash.text() + "\n";
      const auto at = table.find(name);
      if (at == table.end()) {
        ADD_FAILURE() << "no line for " << name;
      } else {
        EXPECT_EQ(hash.text(), at->second) << name;
      }
    }
  }
  if (HasFailure()) {
    ADD_FAILURE() << "the lines of " << table_path << " for what is made now, if that is what is meant:\n"
                  << expected_lines;
  }
}

INSTANTIATE_TEST_SUITE_P(Registered, GoldenTasks, testing::ValuesIn(task_names()),
                         [](const testing::TestParamInfo<std::string>& tested) { return tested.param; });

TEST(GoldenTaskTable, HasNoLinesOfWhatIsNoTestCase) {
  std::set<std::string> names;
  for (const TaskEntry& entry : task_registry().entries()) {
    for (const nlohmann::json& options : entry.test_cases) {
      for (const Split split : {Split::train, Split::validation, Split::test}) {
        names.insert(entry.name + " " + options.dump() + " " + std::string(split_name(split)));
      }
    }
  }
  for (const auto& [name, hash] : read_table()) EXPECT_TRUE(names.contains(name)) << name;
}

}  // namespace
}  // namespace zoo::test
