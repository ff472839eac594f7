#include "zoo/cpu/attention.h"

#include <cmath>

namespace zoo::cpu {

namespace {

template <typename T>
void dropout_mask(const AttentionSizes& sizes, T* mask) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(sizes.dropout * 65536));
  const T kept = static_cast<T>(1 / (1 - sizes.dropout));
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t h = 0; h < sizes.heads; ++h) {
      for (std::int64_t t = 0; t < sizes.queries; ++t) {
        const RandomKey key = sizes.random.fold(static_cast<std::uint64_t>(sizes.first_sequence + b))
                                  .fold(static_cast<std::uint64_t>(h))
                                  .fold(static_cast<std::uint64_t>(sizes.first_query + t));
        for (std::int64_t s = 0; s < sizes.keys; ++s) {
          const auto block = static_cast<std::uint64_t>(s) / 8;
          const auto words =
              philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0},
                     {static_cast<std::uint32_t>(key.value), static_cast<std::uint32_t>(key.value >> 32)});
          const std::uint32_t half = words[static_cast<std::size_t>(s % 8 / 2)] >> (16 * (s % 2)) & 0xFFFF;
          *mask++ = half < threshold ? T{0} : kept;
        }
      }
    }
  }
}

}  // namespace

void attention_dropout_mask(const AttentionSizes& sizes, float* mask) {
  dropout_mask(sizes, mask);
}

void attention_dropout_mask(const AttentionSizes& sizes, double* mask) {
  dropout_mask(sizes, mask);
}

}  // namespace zoo::cpu
