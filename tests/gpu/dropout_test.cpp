#include "zoo/gpu/dropout.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

// Number `index` of a key's dropout stream, as zoo/cpu/dropout_mask-inl.h defines it.
std::uint32_t dropout_number(RandomKey key, std::uint64_t index) {
  const std::uint64_t block = index / 8;
  const auto words =
      philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0x64726f70U, 0},
             {static_cast<std::uint32_t>(key.value), static_cast<std::uint32_t>(key.value >> 32)});
  return words[index % 8 / 2] >> (index % 2 * 16) & 0xffffU;
}

TEST(Dropout, DropsTheElementsThatTheCpuDrops) {
  Stream stream;
  const RandomKey key = {0x123456789abcdef0};
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{13}, (std::uint64_t{1} << 35) - 2}) {
    const std::vector<float> x = normal_numbers(1003, 1);
    const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
    DeviceBuffer<float> y(x.size());
    dropout(device_x.data(), 1003, 0.25, key, first, y.data(), stream);
    const std::vector<float> result = to_host(y, stream);
    int kept = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool keeps = dropout_number(key, first + i) >= 16384;
      ASSERT_EQ(result[i], keeps ? x[i] * static_cast<float>(1 / 0.75) : 0.0F) << i << " from " << first;
      kept += keeps ? 1 : 0;
    }
    EXPECT_NEAR(kept, 752, 5 * 13.7);  // five standard deviations
  }
  dropout(nullptr, 0, 0.5, key, 3, nullptr, stream);
}

}  // namespace
}  // namespace zoo::gpu
