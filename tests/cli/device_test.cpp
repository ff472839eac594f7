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

// Operands rounded to p bits of mantissa move a product by some u = 2^-(p+1) of its size, 5e-4 and 4e-3, of either
// sign, and a loss, the mean over all labels, by far less: attention's curves were measured to differ from float32's
// by 8e-5 and 2e-4 of the loss at most. Linear attention divides by sums of features that come near to 0, which makes
// any rounding larger from step to step: 4e-3 and 5e-3. The bounds are some three times what was measured.
TEST_F(OnDevice, OtherPrecisionsFollowFloat32sLossCurve) {
  if (!gpu_built) GTEST_SKIP() << "this build has no GPU";
  const Arguments common = {"recall",   "--preset", "smoke",   "--workers", "1",
                            "--device", "gpu",      "--store", store("all")};
  const std::vector<std::string> precisions = {"float32", "tf32", "bf16"};
  for (const std::string& precision : precisions) {
    const ProcessResult result = run_zoo(common + Arguments{"--out", directory_ / precision, "--precision", precision});
    ASSERT_EQ(result.exit_code, 0) << result.error;
  }
  const std::vector<zoo::Run> all = runs("all");
  ASSERT_EQ(all.size(), 6U) << "two layers, each a run of its own under each precision";
  for (std::size_t run = 2; run < all.size(); ++run) {
    const zoo::Run &here = all[run], &full = all[run % 2];
    ASSERT_EQ(here.spec.subject, full.spec.subject);
    EXPECT_EQ(full.spec.setting.at("precision"), "f32");
    EXPECT_EQ(here.spec.setting.at("precision"), precisions[run / 2]);
    EXPECT_NE(here.id, full.id);
    ASSERT_EQ(here.epochs.size(), full.epochs.size());
    double largest = 0;
    for (std::size_t epoch = 0; epoch < full.epochs.size(); ++epoch) {
      const double loss = full.epochs[epoch].train_loss;
      largest = std::max(largest, std::abs(here.epochs[epoch].train_loss - loss) / loss);
    }
    const bool linear = here.spec.subject.at("layer") == "linear_attention";
    const double bound = linear ? 1.5e-2 : precisions[run / 2] == "tf32" ? 2.5e-4 : 6e-4;
    EXPECT_LT(largest, bound) << precisions[run / 2] << ", run " << run % 2;
    EXPECT_GT(largest, 0) << "the precision did not reach the kernels";
  }
  const ProcessResult report = run_zoo({"report", "--store", store("all"), "--out", directory_ / "report"});
  EXPECT_THAT(report.output, HasSubstr("precision bf16")) << "a table for each";
}

TEST_F(OnDevice, PrecisionsAreTheGpus) {
  const std::vector<Arguments> commands = {
      {"recall", "--preset", "smoke"},
      {"train", "--task", "parity", "--layer", "rnn"},
      {"mad", "--quick"},
      {"longrange"},
      {"lm", "train", "--layer", "rnn", "--corpus", ".", "--out", directory_ / "lm"},
      {"lm", "eval", "--checkpoint", ".", "--corpus", "."},
      {"bench", "step"},
      {"bench", "layers", "--layers", "rnn"}};
  for (const Arguments& command : commands) {
    const ProcessResult cpu = run_zoo(command + Arguments{"--precision", "tf32", "--device", "cpu"});
    EXPECT_EQ(cpu.exit_code, 2) << command[0];
    EXPECT_THAT(cpu.error, AllOf(HasSubstr("--precision"), HasSubstr("tf32"), HasSubstr("--device gpu"))) << command[0];
    const ProcessResult unknown = run_zoo(command + Arguments{"--precision", "fp16"});
    EXPECT_EQ(unknown.exit_code, 2) << command[0];
    EXPECT_THAT(unknown.error, AllOf(HasSubstr("'fp16'"), HasSubstr("float32, tf32, bf16"))) << command[0];
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
  // The first step is not recorded and the second builds what all others change.
  Arguments graphs = small + Arguments{"--graphs", "on"};
  *std::next(std::ranges::find(graphs, "--warmup")) = "2";
  const ProcessResult as_graphs = run_zoo(graphs);
  ASSERT_EQ(as_graphs.exit_code, 0) << as_graphs.error;
  EXPECT_THAT(as_graphs.output, AllOf(HasSubstr("graphs: 2 a step"), HasSubstr("0 of them in all were built anew"),
                                      HasSubstr("which ends a graph, in: outside ops")));
}

TEST_F(OnDevice, GraphsAreTheGpusAndNoSetting) {
  const ProcessResult cpu = run_zoo({"layers", "--graphs", "on", "--device", "cpu"});
  EXPECT_EQ(cpu.exit_code, 2);
  EXPECT_THAT(cpu.error, AllOf(HasSubstr("--device gpu"), HasSubstr("--graphs off")));
  const ProcessResult unknown = run_zoo({"layers", "--graphs", "maybe"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.error, AllOf(HasSubstr("'maybe'"), HasSubstr("on or off")));
  if (!gpu_built) return;
  for (const std::string graphs : {"off", "on"}) {
    Arguments arguments = sweep(graphs) + Arguments{"--device", "gpu", "--graphs", graphs};
    *std::next(std::ranges::find(arguments, "--lr")) = "0.01";
    const ProcessResult result = run_zoo(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.error;
  }
  EXPECT_EQ(results("on"), results("off")) << "ids and every figure";
}

}  // namespace
}  // namespace zoo::test
