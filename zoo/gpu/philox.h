#pragma once

#include <cstdint>

#include "zoo/core/random.h"
#include "zoo/gpu/kernel.h"

// The random numbers of zoo/core/random.h in kernels.

namespace zoo::gpu {

/// RandomKey::fold.
__device__ __forceinline__ RandomKey fold(RandomKey key, std::uint64_t index) {
  const auto mix = [](std::uint64_t value) {
    value += 0x9E3779B97F4A7C15;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
  };
  return {mix(key.value ^ mix(index + 0x632BE59BD9B4E019))};
}

/// Eight numbers of 16 bits of a key's dropout stream, from 8 * block on, as zoo/cpu/dropout_mask-inl.h defines it.
struct DropoutNumbers {
  unsigned words[4];

  __device__ DropoutNumbers(RandomKey key, std::uint64_t block)
      : words{static_cast<unsigned>(block), static_cast<unsigned>(block >> 32), 0x64726f70U, 0} {
    auto key0 = static_cast<unsigned>(key.value);
    auto key1 = static_cast<unsigned>(key.value >> 32);
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
  __device__ unsigned operator[](int i) const { return words[i / 2] >> (i % 2 * 16) & 0xffffU; }
};

}  // namespace zoo::gpu
