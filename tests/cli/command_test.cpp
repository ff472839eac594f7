#include "tests/cli/command.h"

#include <gmock/gmock.h>

namespace zoo::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Command, TellsItsVersion) {
  const ProcessResult result = run_zoo({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, testing::MatchesRegex("zoo [0-9]+\\.[0-9]+\\.[0-9]+\n"));
  EXPECT_THAT(result.error, IsEmpty());
}

TEST(Command, HelpListsTheCommandsButNotTheHiddenOnes) {
  const ProcessResult result = run_zoo({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, HasSubstr("  layers "));
  EXPECT_THAT(result.output, testing::Not(HasSubstr("plugin-probe")));
}

TEST(Command, WithoutArgumentsItExplainsItselfOnStandardError) {
  const ProcessResult result = run_zoo({});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(result.error, HasSubstr("Usage: zoo COMMAND"));
}

TEST(Command, UnknownCommandNamesTheNearest) {
  const ProcessResult result = run_zoo({"layrs"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, HasSubstr("unknown command 'layrs'; did you mean 'layers'?"));
}

TEST(Command, ThreadsMustBeAPositiveNumber) {
  for (const std::string bad : {"0", "-1", "two", "1.5", "", "1e3", "100000"}) {
    const ProcessResult result = run_zoo({"layers", "--threads", bad});
    EXPECT_EQ(result.exit_code, 2) << bad;
    EXPECT_THAT(result.error, HasSubstr("--threads is '" + bad + "'; it must be a whole number from 1 to")) << bad;
  }
  EXPECT_EQ(run_zoo({"--threads=2", "layers"}).exit_code, 0);
  EXPECT_THAT(run_zoo({"layers", "--threads"}).error, HasSubstr("--threads needs a value"));
}

TEST(Command, FullDiskIsAnError) {
  const ProcessResult result =
      run_process({.arguments = {"/bin/sh", "-c", "exec \"$0\" layers > /dev/full", ZOO_COMMAND}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error, HasSubstr("cannot write to standard output"));
}

}  // namespace
}  // namespace zoo::test
