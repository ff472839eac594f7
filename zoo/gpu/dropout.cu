#include <cmath>

#include "zoo/gpu/dropout.h"
#include "zoo/gpu/each.h"
#include "zoo/gpu/philox.h"

namespace zoo::gpu {

namespace {

// The elements of one block of numbers: element i of x takes number `first` + i of the key's stream, eight a block.
struct Dropout {
  const float* x;
  float* y;
  int count;
  RandomKey key;
  std::uint64_t first;
  unsigned threshold;
  float factor;

  __device__ void operator()(int i) const {
    const std::uint64_t block = first / 8 + static_cast<unsigned>(i);
    const DropoutNumbers numbers(key, block);
    for (int j = 0; j < 8; ++j) {
      const auto at =
          static_cast<std::int64_t>(block * 8 + static_cast<unsigned>(j) - first);  // below 0 before `first`
      if (at < 0 || at >= count) continue;
      y[at] = numbers[j] >= threshold ? x[at] * factor : 0.0F;
    }
  }
};

}  // namespace

void dropout(const float* x, std::int64_t count, double probability, RandomKey key, std::uint64_t first, float* y,
             Stream& stream) {
  const int elements = extent("dropout", "count", count);
  if (elements == 0) return;
  const std::uint64_t blocks = (first + static_cast<std::uint64_t>(count) - 1) / 8 - first / 8 + 1;
  launch_each("dropout", static_cast<std::int64_t>(blocks),
              Dropout{x, y, elements, key, first, static_cast<unsigned>(std::lround(probability * 65536)),
                      static_cast<float>(1 / (1 - probability))},
              stream);
}

}  // namespace zoo::gpu
