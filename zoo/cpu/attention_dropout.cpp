#include "zoo/cpu/attention_dropout.h"

#include <algorithm>
#include <cmath>

namespace zoo::cpu {

namespace {

// Sixteen bits decide: one block of four words serves eight keys.
template <typename T>
void dropout_row(const AttentionSizes& sizes, RandomKey key, std::int64_t position, std::int64_t first,
                 std::int64_t count, T* factors) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(sizes.dropout * 65536));
  const T kept = static_cast<T>(1 / (1 - sizes.dropout));
  const RandomKey row = key.fold(static_cast<std::uint64_t>(position));
  const std::array<std::uint32_t, 2> philox_key = {static_cast<std::uint32_t>(row.value),
                                                   static_cast<std::uint32_t>(row.value >> 32)};
  for (std::int64_t begin = 0; begin < count; begin += 8) {
    const auto block = static_cast<std::uint64_t>(first + begin) / 8;
    const auto words =
        philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0}, philox_key);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(8, count - begin); ++i) {
      const std::uint32_t half = (words[static_cast<std::size_t>(i / 2)] >> (16 * (i % 2))) & 0xFFFF;
      factors[begin + i] = half < threshold ? T{0} : kept;
    }
  }
}

template <typename T>
void dropout_all(const AttentionSizes& sizes, T* factors) {
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t h = 0; h < sizes.heads; ++h) {
      const RandomKey key = dropout_key(sizes, b, h);
      for (std::int64_t t = 0; t < sizes.queries; ++t, factors += sizes.keys) {
        dropout_row(sizes, key, sizes.first_query + t, 0, sizes.keys, factors);
      }
    }
  }
}

}  // namespace

void attention_dropout_row(const AttentionSizes& sizes, RandomKey key, std::int64_t position, std::int64_t first,
                           std::int64_t count, float* factors) {
  dropout_row(sizes, key, position, first, count, factors);
}

void attention_dropout_row(const AttentionSizes& sizes, RandomKey key, std::int64_t position, std::int64_t first,
                           std::int64_t count, double* factors) {
  dropout_row(sizes, key, position, first, count, factors);
}

void attention_dropout(const AttentionSizes& sizes, float* factors) {
  dropout_all(sizes, factors);
}

void attention_dropout(const AttentionSizes& sizes, double* factors) {
  dropout_all(sizes, factors);
}

}  // namespace zoo::cpu
