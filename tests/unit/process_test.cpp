#include "zoo/core/process.h"

#include <gmock/gmock.h>

#include <csignal>

#include "zoo/core/error.h"

namespace zoo {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

ProcessResult shell(const std::string& script, ProcessRequest request = {}) {
  request.arguments = {"sh", "-c", script};
  return run_process(request);
}

TEST(Process, KeepsBothStreamsAndTheExitCode) {
  const ProcessResult result = shell("echo out; echo err >&2; exit 3");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.output, "out\n");
  EXPECT_EQ(result.error, "err\n");
}

TEST(Process, TellsTheSignal) {
  const ProcessResult result = shell("kill -SEGV $$");
  EXPECT_EQ(result.exit_code, -1);
  EXPECT_EQ(result.signal, SIGSEGV);
  EXPECT_FALSE(result.timed_out);
}

TEST(Process, InputEnvironmentAndDirectory) {
  const ProcessResult result =
      shell("cat; echo $ZOO_TEST $HOME; pwd",
            {.environment = {"ZOO_TEST=set", "HOME=/x"}, .directory = "/usr", .input = "given\n"});
  EXPECT_EQ(result.output, "given\nset /x\n/usr\n");
}

TEST(Process, TimeLimitKillsItAndWhatItStarted) {
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult result = shell("sleep 60 & sleep 60", {.time_limit = std::chrono::milliseconds(100)});
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(Process, DoesNotWaitForWhatItLeftBehind) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(shell("sleep 60 & echo started").output, "started\n");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(Process, KeepsTheEndOfLongOutput) {
  const ProcessResult result = shell("yes 0123456 | head -c 800000; echo the end", {.output_limit = 1000});
  EXPECT_EQ(result.output.size(), 1000u);
  EXPECT_TRUE(result.output.ends_with("the end\n"));
}

TEST(Process, WhatCannotBeStarted) {
  EXPECT_THAT([] { run_process({.arguments = {"/no/such/program"}}); },
              ThrowsMessage<Error>(HasSubstr("cannot start '/no/such/program': No such file")));
}

}  // namespace
}  // namespace zoo
