// Language models trained by the processes of an MPI job.

#include <gmock/gmock.h>
#include <signal.h>

#include <cmath>

#include "tests/cli/background.h"
#include "tests/cli/mpi.h"
#include "tests/cli/small_lm.h"
#include "zoo/core/device.h"

namespace zoo::test {
namespace {

using testing::HasSubstr;

class LmMpi : public SmallLm {
 protected:
  void SetUp() override {
    require_mpi();
    if (IsSkipped()) return;
    SmallLm::SetUp();
  }
  std::vector<double> losses(const std::string& run) const {
    std::vector<double> all;
    std::istringstream lines(read_file(directory_ / (run + "/log.jsonl")));
    for (std::string line; std::getline(lines, line);) {
      const auto entry = nlohmann::json::parse(line);
      if (entry.contains("loss")) all.push_back(entry.at("loss"));
    }
    return all;
  }
  void expect_same_curve(const std::string& run, const std::string& as) const {
    const auto one = losses(run), other = losses(as);
    ASSERT_EQ(one.size(), other.size());
    // Sums of gradients in another order, and what some steps of AdamW make of their roundings.
    for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], other[i], 1e-4) << i;
  }
  // Of two, who train the run "killed" with a checkpoint each step, after the second of them.
  void kill_a_rank(const Arguments& arguments) const {
    const Arguments launched = under_mpi(arguments, 2);
    Background job(launched.front(), Arguments(launched.begin() + 1, launched.end()), directory_ / "errors");
    ASSERT_TRUE(wait_for([&] { return std::filesystem::exists(directory_ / "killed/checkpoints/step-00000002"); }))
        << job.errors();
    const auto ranks = job.children();
    ASSERT_GE(ranks.size(), 1U);
    kill(ranks.back(), SIGKILL);
    EXPECT_NE(job.wait(), 0);
  }
};

// As above where tensors lie on the GPU, and gradients are summed there.
class LmMpiOnDevice : public LmMpi {
 protected:
  void SetUp() override {
    if (!gpu_built) GTEST_SKIP() << "this build has no GPU";
    LmMpi::SetUp();
  }
};

TEST_F(LmMpi, HasTheLossCurveOfOneProcess) {
  ASSERT_EQ(run_zoo(train("alone")).exit_code, 0);
  const ProcessResult result = run_mpi(train("ranks"), 3);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr("perplexity"));
  expect_same_curve("ranks", "alone");
}

TEST_F(LmMpiOnDevice, HasTheLossCurveOfOneProcess) {
  const Arguments on_gpu = {"--device", "gpu"};
  ASSERT_EQ(run_zoo(train("alone") + on_gpu).exit_code, 0);
  const ProcessResult result = run_mpi(train("ranks") + on_gpu, 2);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.error, HasSubstr("gradients of 2 GPUs are summed by "));
  expect_same_curve("ranks", "alone");
}

// Eight steps, each with a checkpoint, of which the rank dies after the second.
TEST_F(LmMpiOnDevice, ARankThatDiesEndsTheJobAndItGoesOn) {
  const Arguments arguments = train("killed") + Arguments{"--device", "gpu", "--checkpoint-every", "1"};
  ASSERT_EQ(run_zoo(train("whole") + Arguments{"--device", "gpu"}).exit_code, 0);
  kill_a_rank(arguments);
  const ProcessResult rest = run_mpi(arguments, 2);
  ASSERT_EQ(rest.exit_code, 0) << rest.error;
  EXPECT_THAT(rest.error, HasSubstr("goes on after step"));
  expect_same_curve("killed", "whole");
}

TEST_F(LmMpi, ARankThatDiesEndsTheJobAndItGoesOnWithAnotherNumber) {
  const auto longer = [&](const std::string& name) {
    Arguments arguments = train(name);
    *std::next(std::ranges::find(arguments, "--steps")) = "40";
    return arguments;
  };
  ASSERT_EQ(run_zoo(longer("whole")).exit_code, 0);
  const Arguments arguments = longer("killed") + Arguments{"--checkpoint-every", "1"};
  kill_a_rank(arguments);
  const ProcessResult rest = run_mpi(arguments, 3);
  ASSERT_EQ(rest.exit_code, 0) << rest.error;
  EXPECT_THAT(rest.error, HasSubstr("goes on after step"));
  expect_same_curve("killed", "whole");
}

TEST_F(LmMpi, WrongUsageEndsAllWithItsMessage) {
  const ProcessResult result = run_mpi(train("run", "atention"), 2);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_FALSE(result.timed_out);
  EXPECT_THAT(result.error, HasSubstr("did you mean 'attention'"));
}

}  // namespace
}  // namespace zoo::test
