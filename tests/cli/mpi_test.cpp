// Sweeps whose runs are made by the processes of an MPI job.

#include <gmock/gmock.h>

#include <thread>

#include "tests/cli/small_sweep.h"

namespace zoo::test {
namespace {

using testing::HasSubstr;

class MpiSweeps : public SmallSweep {
 protected:
  void SetUp() override {
    if (std::string(ZOO_MPIEXEC).empty()) GTEST_SKIP() << "this zoo was built without MPI";
  }
  Arguments under_mpi(const Arguments& arguments, int processes) const {
    return Arguments{ZOO_MPIEXEC, "--oversubscribe", "-n", std::to_string(processes), ZOO_COMMAND} + arguments;
  }
  ProcessResult run_mpi(const Arguments& arguments, int processes) const {
    // Containers run tests as root, which Open MPI asks to be confirmed.
    return run_process({.arguments = under_mpi(arguments, processes),
                        .environment = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"},
                        .time_limit = std::chrono::minutes(2)});
  }
};

TEST_F(MpiSweeps, GiveTheResultsOfOneMachine) {
  ASSERT_EQ(run_zoo(sweep("alone")).exit_code, 0);
  const ProcessResult result = run_mpi(sweep("ranks"), 3);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_EQ(results("ranks"), results("alone"));
  EXPECT_EQ(runs("ranks").size(), 4U);
  // All is there already: nothing is made again.
  EXPECT_THAT(run_mpi(sweep("ranks"), 2).error, testing::Not(HasSubstr("[1/")));
}

TEST_F(MpiSweeps, ACrashedRunIsRecordedAndTheSweepGoesOn) {
  Arguments wild = sweep();
  *std::next(std::ranges::find(wild, "--lr")) = "1e30,0.01";
  const ProcessResult result = run_mpi(wild, 2);
  EXPECT_EQ(result.exit_code, 0) << result.error;
  const auto made = runs();
  EXPECT_EQ(std::ranges::count(made, RunStatus::diverged, &zoo::Run::status), 2);
  EXPECT_EQ(std::ranges::count(made, RunStatus::done, &zoo::Run::status), 2);
}

TEST_F(MpiSweeps, WrongUsageIsToldOnceAndEndsAll) {
  const ProcessResult result = run_mpi({"recall", "--layers", "attentio"}, 3);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_FALSE(result.timed_out);
  const auto first = result.error.find("did you mean 'attention'");
  ASSERT_NE(first, std::string::npos) << result.error;
  EXPECT_EQ(result.error.find("did you mean 'attention'", first + 1), std::string::npos);
}

TEST_F(MpiSweeps, AJobThatIsKilledGoesOn) {
  ASSERT_EQ(run_zoo(long_sweep("whole")).exit_code, 0);
  const ProcessResult killed = run_process(
      {.arguments = Arguments{"/usr/bin/timeout", "--signal=KILL", "1.5"} + under_mpi(long_sweep("killed"), 3),
       .environment = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"},
       .time_limit = std::chrono::minutes(2)});
  ASSERT_TRUE(killed.signal != 0 || killed.exit_code != 0) << "it was done before it could be killed";
  // The launcher is gone; its processes notice, and let go of the store.
  ProcessResult rest;
  for (int attempt = 0; attempt < 50; ++attempt) {
    rest = run_mpi(long_sweep("killed"), 2);
    if (rest.exit_code == 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  ASSERT_EQ(rest.exit_code, 0) << rest.error;
  EXPECT_EQ(results("killed"), results("whole"));
}

}  // namespace
}  // namespace zoo::test
