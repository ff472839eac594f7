// Sweeps whose runs are made by the processes of an MPI job.

#include "tests/cli/mpi.h"

#include <gmock/gmock.h>

#include "tests/cli/background.h"

namespace zoo::test {
namespace {

using testing::HasSubstr;

class MpiSweeps : public SmallSweep {
 protected:
  void SetUp() override { require_mpi(); }
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
  const Arguments launched = under_mpi(long_sweep("killed"), 3);
  {
    Background job(launched.front(), Arguments(launched.begin() + 1, launched.end()), directory_ / "errors");
    ASSERT_TRUE(wait_for([&] { return has_checkpoint(store("killed")); })) << job.errors();
    job.send(SIGKILL);
    EXPECT_EQ(job.wait(), -SIGKILL);
  }
  EXPECT_TRUE(has_checkpoint(store("killed"))) << "it was done before it could be killed";
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
