#include <cmath>

#include "zoo/gpu/dropout.h"
#include "zoo/gpu/each.h"

namespace zoo::gpu {

namespace {

// A block of Philox4x32 with 10 rounds, as in zoo/core/random.h: 8 numbers of 16 bits.
__device__ __forceinline__ void philox(unsigned* words, unsigned key0, unsigned key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * words[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * words[2];
    words[0] = static_cast<unsigned>(product1 >> 32) ^ words[1] ^ key0;
    words[1] = static_cast<unsigned>(product1);
    words[2] = static_cast<unsigned>(product0 >> 32) ^ words[3] ^ key1;
    words[3] = static_cast<unsigned>(product0);
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
}

// The elements of one block of numbers: element i of x takes number `first` + i of the key's stream, eight a block.
struct Dropout {
  const float* x;
  float* y;
  int count;
  std::uint64_t key;
  std::uint64_t first;
  unsigned threshold;
  float factor;

  __device__ void operator()(int i) const {
    const std::uint64_t block = first / 8 + static_cast<unsigned>(i);
    unsigned words[4] = {static_cast<unsigned>(block), static_cast<unsigned>(block >> 32), 0x64726f70U, 0};
    philox(words, static_cast<unsigned>(key), static_cast<unsigned>(key >> 32));
    for (int j = 0; j < 8; ++j) {
      const auto at =
          static_cast<std::int64_t>(block * 8 + static_cast<unsigned>(j) - first);  // below 0 before `first`
      if (at < 0 || at >= count) continue;
      const unsigned number = words[j / 2] >> (j % 2 * 16) & 0xffffU;
      y[at] = number >= threshold ? x[at] * factor : 0.0F;
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
              Dropout{x, y, elements, key.value, first, static_cast<unsigned>(std::lround(probability * 65536)),
                      static_cast<float>(1 / (1 - probability))},
              stream);
}

}  // namespace zoo::gpu
