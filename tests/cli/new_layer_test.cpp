#include <gmock/gmock.h>

#include "tests/cli/command.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string templates = std::string(ZOO_SOURCE) + "/runners/new_layer/";

ProcessResult new_layer(const TemporaryDirectory& folder, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "new-layer");
  return run_zoo(std::move(arguments), {.environment = {}, .directory = folder.path(), .input = {}});
}

TEST(NewLayer, WritesThreeFilesUnderTheNewName) {
  const TemporaryDirectory folder;
  const ProcessResult result = new_layer(folder, {"moving_average"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr("moving_average"));
  const std::filesystem::path made = folder.path() / "moving_average";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(made), {}), 3);
  EXPECT_THAT(read_file(made / "moving_average.cpp"),
              AllOf(HasSubstr("class MovingAverage final : public Layer"), HasSubstr("make<MovingAverage>()"),
                    HasSubstr("ZOO_REGISTER_LAYER(moving_average)"), HasSubstr(".name = \"moving_average\""),
                    Not(HasSubstr("shifted_keys")), Not(HasSubstr("ShiftedKeys"))));
  EXPECT_THAT(read_file(made / "CMakeLists.txt"), HasSubstr("zoo_add_plugin(moving_average moving_average.cpp)"));
  EXPECT_THAT(read_file(made / "README.md"), AllOf(HasSubstr("cmake -B build"), HasSubstr("zoo check moving_average"),
                                                   HasSubstr("zoo recall --layers"), Not(HasSubstr("shifted_keys"))));
}

TEST(NewLayer, WritesWhatItIsMadeFrom) {
  const TemporaryDirectory folder;
  ASSERT_EQ(new_layer(folder, {"shifted_keys", "--dir", "deep/folder"}).exit_code, 0);
  for (const char* name : {"shifted_keys.cpp", "README.md"}) {
    EXPECT_EQ(read_file(folder.path() / "deep/folder" / name), read_file(templates + name));
  }
}

// The class is one of the words of the source: it must not be the name of something that the source uses.
TEST(NewLayer, TheClassHasANameOfItsOwn) {
  const TemporaryDirectory folder;
  for (const auto& [name, words] :
       {std::pair{"layer", "class LayerLayer final : public Layer"}, std::pair{"linear", "class LinearLayer final"},
        std::pair{"3_bodies", "class Layer3Bodies final"}, std::pair{"_", "class LayerLayer final"},
        std::pair{"shift", "class Shift final"}}) {
    ASSERT_EQ(new_layer(folder, {name}).exit_code, 0);
    EXPECT_THAT(read_file(folder.path() / name / (std::string(name) + ".cpp")), HasSubstr(words));
  }
}

TEST(NewLayer, WrongUsageWritesNothing) {
  const TemporaryDirectory folder;
  write_file(folder / "taken", "");
  const auto expect_error = [&](const std::vector<std::string>& arguments, const std::string& words, int code = 2) {
    const ProcessResult result = new_layer(folder, arguments);
    EXPECT_EQ(result.exit_code, code) << words;
    EXPECT_THAT(result.output, IsEmpty());
    EXPECT_THAT(result.error, HasSubstr(words));
  };
  expect_error({}, "takes one name");
  expect_error({"a", "b"}, "it was given a b");
  expect_error({""}, "cannot be the name of a layer");
  expect_error({"My-Layer"}, "1 to 64 of a-z, 0-9 and _ are allowed");
  expect_error({"../up"}, "cannot be the name of a layer");
  expect_error({std::string(65, 'a')}, "cannot be the name of a layer");
  expect_error({"attention"}, "there is a layer 'attention' already");
  expect_error({"mlp"}, "there is a layer 'mlp' already");
  expect_error({"token_shift", "--plugin", std::string(ZOO_PLUGINS) + "/token_shift.so"}, "already");
  expect_error({"all"}, "has a meaning of its own");
  expect_error({"mine", "--dri", "x"}, "did you mean '--dir'");
  expect_error({"mine", "--dir", ""}, "--dir is empty");
  expect_error({"mine", "--dir", "taken"}, "'taken' is there already");
  expect_error({"mine", "--dir", "."}, "'.' is there already");
  expect_error({"taken"}, "'taken' is there already");
  expect_error({"mine", "--dir", "taken/mine"}, "cannot make the folder 'taken/mine'", 1);
  expect_error({"mine", "--dir", "/proc/mine"}, "cannot make the folder '/proc/mine'", 1);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(NewLayer, AFullDiskLeavesNothingBehind) {
  const TemporaryDirectory folder;
  const ProcessResult result =
      run_process({.arguments = {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" new-layer mine --dir \"$1\"",
                                 ZOO_COMMAND, folder / "mine"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error, HasSubstr("File too large"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(NewLayer, TheReadmeShowsTheLayerThatIsWritten) {
  EXPECT_THAT(read_file(std::string(ZOO_SOURCE) + "/README.md"),
              HasSubstr("```cpp\n" + read_file(templates + "shifted_keys.cpp") + "```\n"));
}

TEST(NewLayer, TheLayerThatIsWrittenPasses) {
  const ProcessResult result =
      run_zoo({"check", "shifted_keys", "--threads", "1", "--plugin", std::string(ZOO_PLUGINS) + "/shifted_keys.so"});
  EXPECT_EQ(result.exit_code, 0) << result.output << result.error;
}

}  // namespace
}  // namespace zoo::test
