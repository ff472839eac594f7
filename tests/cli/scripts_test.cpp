#include <gmock/gmock.h>
#include <unistd.h>

#include <regex>

#include "tests/cli/command.h"

namespace zoo::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const std::string source = ZOO_SOURCE;

/// Runs a line of bash with runners/setup.sh sourced, on a machine made of stubs where all packages but `missing` are
/// installed. What apt-get is asked for is written to `log`, a line a call.
class SetupTest : public testing::Test {
 protected:
  SetupTest() {
    add_program("dpkg-query", "case \" $MISSING \" in *\" ${@: -1} \"*) exit 1;; esac; printf installed");
    add_program("apt-get", "echo \"$*\" >> \"$LOG\"; exit \"${APT_STATUS:-0}\"");
    add_program("sudo", "exec \"$@\"");
  }

  void add_program(const std::string& name, const std::string& body) {
    write_file(directory_ / name, "#!/bin/bash\n" + body + "\n");
    std::filesystem::permissions(directory_ / name, std::filesystem::perms::owner_all);
  }

  ProcessResult run(const std::string& line, const std::string& missing, std::vector<std::string> environment = {}) {
    environment.push_back("PATH=" + directory_.path().string() + ":/usr/bin:/bin");
    environment.push_back("MISSING=" + missing);
    environment.push_back("LOG=" + log_);
    return run_process(
        {.arguments = {"/bin/bash", "-euo", "pipefail", "-c", "source \"$0\"/runners/setup.sh; " + line, source},
         .environment = std::move(environment),
         .directory = "/"});
  }

  std::string log() const { return std::filesystem::exists(log_) ? read_file(log_) : ""; }

  TemporaryDirectory directory_;
  std::string log_ = directory_ / "log";
};

TEST_F(SetupTest, InstallsNothingWhenAllIsThere) {
  const ProcessResult result = run("install_packages build test", "");
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_THAT(log(), IsEmpty());
}

TEST_F(SetupTest, InstallsWhatIsMissingOfTheSectionsAskedFor) {
  const ProcessResult result = run("install_packages build test", "libhwy-dev libgmock-dev clang-format-14");
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr("Installing libhwy-dev libgmock-dev\n"));
  EXPECT_THAT(log(), testing::ContainsRegex(" update\n.* install --yes .*libhwy-dev libgmock-dev\n$"));
}

TEST_F(SetupTest, GoesOnWithoutAnUpdateButNotWithoutThePackages) {
  const ProcessResult result = run("install_packages build; echo went on", "cmake", {"APT_STATUS=100"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error, HasSubstr("apt-get could not install cmake"));
  EXPECT_THAT(result.output, testing::Not(HasSubstr("went on")));
}

TEST(Scripts, EveryPackageThatCMakeNamesIsOnTheList) {
  const std::string list = read_file(source + "/runners/debian-packages.txt");
  const std::regex required("\\n *zoo_require(?:_pkg)?\\([\\w]+ ([\\w+.-]+)[ )]");
  std::vector<std::string> absent;
  std::size_t named = 0;
  for (const std::string file : {"/zoo/cmake/ZooDependencies.cmake", "/tests/CMakeLists.txt"}) {
    const std::string text = "\n" + read_file(source + file);
    for (std::sregex_iterator match(text.begin(), text.end(), required), end; match != end; ++match, ++named) {
      const std::string package = (*match)[1];
      // g++ brings the C library.
      if (package != "libc6-dev" && list.find("\n" + package + "\n") == std::string::npos) absent.push_back(package);
    }
  }
  EXPECT_THAT(absent, IsEmpty());
  EXPECT_GT(named, 10U);
}

TEST(Scripts, AreWellFormed) {
  for (const std::string script : {"runners/quickstart.sh", "tests/run.sh", "tests/peers/run.sh", ".ci/run"}) {
    const ProcessResult result = run_process({.arguments = {"/bin/bash", "-n", source + "/" + script}});
    EXPECT_EQ(result.exit_code, 0) << script << ": " << result.error;
    EXPECT_EQ(::access((source + "/" + script).c_str(), X_OK), 0) << script << " cannot be executed";
  }
}

}  // namespace
}  // namespace zoo::test
