// `--device`, and that a GPU's runs are those of the CPU. Where this build has no GPU, what it says then.
#include "zoo/core/device.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/cli/small_sweep.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using OnDevice = SmallSweep;

TEST_F(OnDevice, WrongNamesAreRefusedBeforeAnyWork) {
  const ProcessResult result = run_zoo({"layers", "--device", "gqu"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr("unknown device 'gqu'"), HasSubstr("did you mean 'gpu'")));
  EXPECT_EQ(run_zoo({"--device=cpu", "layers"}).exit_code, 0);
}

TEST_F(OnDevice, BuildsWithoutAGpuSayHowToGetOne) {
  if (gpu_built) GTEST_SKIP() << "this build has a GPU";
  const ProcessResult result = run_zoo({"recall", "--preset", "smoke", "--device", "gpu"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error,
              AllOf(HasSubstr("no device gpu"), HasSubstr("-DZOO_GPU=EMULATED"), HasSubstr("--device cpu")));
}

// One step's gradients differ by some 1e-6 of their size, and AdamW divides each by its own root mean square: where a
// gradient is nearly zero its sign may differ, which moves a weight by at most the learning rate a step. Over the 30
// steps here such weights are few, and losses, means over 60 positions of about 4 nats, agree to 1e-4 of their size.
TEST_F(OnDevice, TheSmokePresetFollowsTheCpusLossCurve) {
  if (!gpu_built) GTEST_SKIP() << "this build has no GPU";
  for (const std::string device : {"cpu", "gpu"}) {
    const ProcessResult result = run_zoo({"recall", "--preset", "smoke", "--workers", "1", "--store", store(device),
                                          "--out", directory_ / (device + ".out"), "--device", device});
    ASSERT_EQ(result.exit_code, 0) << result.error;
  }
  const std::vector<zoo::Run> cpu = runs("cpu"), gpu = runs("gpu");
  ASSERT_EQ(cpu.size(), 2U);
  ASSERT_EQ(gpu.size(), 2U);
  for (std::size_t run = 0; run < 2; ++run) {
    EXPECT_EQ(gpu[run].id, cpu[run].id) << "the device is no setting";
    EXPECT_FALSE(cpu[run].environment.contains("device"));
    EXPECT_THAT(gpu[run].environment.at("device").get<std::string>(), Not(HasSubstr("cpu")));
    ASSERT_EQ(gpu[run].epochs.size(), cpu[run].epochs.size());
    for (std::size_t epoch = 0; epoch < cpu[run].epochs.size(); ++epoch) {
      const EpochResult &there = gpu[run].epochs[epoch], &here = cpu[run].epochs[epoch];
      EXPECT_NEAR(there.train_loss, here.train_loss, 1e-4 * here.train_loss) << run << ", epoch " << epoch;
      EXPECT_NEAR(there.validation_loss, here.validation_loss, 1e-4 * here.validation_loss) << run;
    }
  }
}

TEST_F(OnDevice, AStepsProfileSaysWhatRanOnTheCpu) {
  if (!gpu_built) GTEST_SKIP() << "this build has no GPU";
  const Arguments small = {"bench", "step",         "--profile", "--layer",    "attention", "--d-model",
                           "16",    "--seq-len",    "16",        "--kv-pairs", "2",         "--batch-size",
                           "4",     "--vocab-size", "32",        "--steps",    "1",         "--warmup",
                           "1",     "--device",     "gpu"};
  const ProcessResult result = run_zoo(small);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, HasSubstr("computed on the CPU, in the GPU's memory: "));
}

}  // namespace
}  // namespace zoo::test
