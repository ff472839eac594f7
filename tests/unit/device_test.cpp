#include "zoo/core/device.h"

#include <gmock/gmock.h>

#include "tests/unit/layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/core/profile.h"
#include "zoo/core/tape.h"
#include "zoo/ops/ops.h"

namespace zoo {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

template <typename Run>
std::string message_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Device, HasANameAndNoOther) {
  for (const Device device : {Device::cpu, Device::gpu}) EXPECT_EQ(parse_device(device_name(device)), device);
  EXPECT_THROW(parse_device("CPU"), UsageError);
  EXPECT_THAT(message_of([] { parse_device("gpus"); }), AllOf(HasSubstr("'gpus'"), HasSubstr("did you mean 'gpu'")));
}

TEST(Device, StaysWhatItIsFromTheFirstTensorOn) {
  const Tensor first = Tensor::zeros({2});
  EXPECT_NO_THROW(set_device(current_device()));
  const Device other = on_gpu() ? Device::cpu : Device::gpu;
  EXPECT_THAT(message_of([&] { set_device(other); }), HasSubstr("since the first tensor was made"));
}

TEST(Device, TheHostWaitsForKernels) {
  if (current_device() == Device::cpu) GTEST_SKIP() << "on the CPU nothing is under way when an op returns";
  const DeviceCounts before = device_counts();
  const Tensor a = Tensor::from<float>({3}, {1, 2, 3});
  const Tensor y = ops::exp(a * 0.0) + a;
  EXPECT_GT(device_counts().kernels, before.kernels);
  EXPECT_THAT(y.values<float>(), ElementsAre(2, 3, 4));
  EXPECT_GT(device_counts().host_accesses, before.host_accesses);
}

// Kernels for float32 alone: float64 is computed on the CPU, in the same memory, and the profile shows it.
TEST(Device, ProfilesTellWhatTheHostComputes) {
  if (current_device() == Device::cpu) GTEST_SKIP() << "all is computed on the CPU";
  const Profile profile;
  const NoTape off;
  const Tensor single = ops::tanh(Tensor::zeros({4})), twofold = ops::sin(Tensor::zeros({4}, DType::f64));
  for (const Profile::Entry& entry : profile.entries()) {
    if (entry.name == "tanh") {
      EXPECT_TRUE(entry.device.kernels > 0 && entry.device.host_accesses == 0);
    } else if (entry.name == "sin") {
      EXPECT_TRUE(entry.device.kernels == 0 && entry.device.host_accesses > 0);
    }
  }
}

// Forward and backward, of every layer that is registered.
TEST(Device, KernelsComputeEveryLayer) {
  if (current_device() == Device::cpu) GTEST_SKIP() << "all is computed on the CPU";
  for (const std::string& name : layer_registry().names()) {
    const LayerCase& test_case = layer_registry().get(name).test_cases.front();
    const auto owned = testing_support::make_layer(name, test_case.d_model, test_case.options, DType::f32);
    const Tensor x = testing_support::normal({1, 5, test_case.d_model}, 1, DType::f32);
    const Profile profile;
    grad(ops::sum(owned(x)), owned.values());
    for (const Profile::Entry& entry : profile.entries()) {
      EXPECT_TRUE(entry.device.kernels > 0 || entry.device.host_accesses == 0)
          << name << ": the CPU computes " << entry.name << " (" << entry.pass << ")";
    }
  }
}

TEST(Device, OutOfMemoryNamesTheSizes) {
  if (current_device() == Device::cpu) GTEST_SKIP() << "the CPU's memory is the system's to give";
  const std::string message = message_of([] { Tensor::empty({std::int64_t{1} << 40}); });
  EXPECT_THAT(message, AllOf(HasSubstr("out of memory"), HasSubstr("4398046511104 bytes"), HasSubstr("are free")));
}

}  // namespace
}  // namespace zoo
