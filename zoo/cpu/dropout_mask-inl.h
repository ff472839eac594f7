// The random decisions of dropout, shared by the kernels that drop. Included once for each instruction set (hence no
// #pragma once).
//
// Number n of a key's dropout stream is half-word n % 8 of Philox block n / 8, where half-word 2i is the low and 2i + 1
// the high half of word i. The block's key is {low, high word of the key's value} and its counter {low, high word of
// n / 8, 0x64726f70, 0}: the third word keeps it apart from the key's RandomStream. The element is kept when its
// number, uniform in [0, 65536), is at least round(65536 p).
#if defined(ZOO_CPU_DROPOUT_MASK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_DROPOUT_MASK_INL_H_
#undef ZOO_CPU_DROPOUT_MASK_INL_H_
#else
#define ZOO_CPU_DROPOUT_MASK_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "zoo/core/random.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Numbers that one call of dropout_numbers makes at most.
inline constexpr std::int64_t dropout_batch = 512;

/// High halves of the 64-bit products of 32-bit lanes.
template <class D, class V>
HWY_INLINE V MulHigh32(D d, V a, V b) {
  const hn::Repartition<std::uint64_t, D> wide;
  const auto even = hn::ShiftRight<32>(hn::MulEven(a, b));
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, a))), b);  // b: equal lanes
  return hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, even));
}

/// Numbers 8 * block .. 8 * (block + blocks) - 1 of the key's stream; blocks is at most dropout_batch / 8, and numbers
/// has room for dropout_batch.
HWY_INLINE void dropout_numbers(RandomKey key, std::uint64_t block, std::int64_t blocks, std::uint16_t* numbers) {
  const hn::ScalableTag<std::uint32_t> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto multiplier0 = hn::Set(d, 0xD2511F53U);
  const auto multiplier1 = hn::Set(d, 0xCD9E8D57U);
  HWY_ALIGN std::uint32_t words[4][hn::MaxLanes(d)];
  HWY_ALIGN std::uint32_t low_words[hn::MaxLanes(d)];
  HWY_ALIGN std::uint32_t high_words[hn::MaxLanes(d)];
  for (std::int64_t done = 0; done < blocks; done += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::uint64_t index = block + static_cast<std::uint64_t>(done + lane);
      low_words[lane] = static_cast<std::uint32_t>(index);
      high_words[lane] = static_cast<std::uint32_t>(index >> 32);
    }
    auto word0 = hn::Load(d, low_words);
    auto word1 = hn::Load(d, high_words);
    auto word2 = hn::Set(d, 0x64726f70U);
    auto word3 = hn::Zero(d);
    auto key0 = hn::Set(d, static_cast<std::uint32_t>(key.value));
    auto key1 = hn::Set(d, static_cast<std::uint32_t>(key.value >> 32));
    for (int round = 0; round < 10; ++round) {
      const auto high0 = MulHigh32(d, word0, multiplier0);
      const auto high1 = MulHigh32(d, word2, multiplier1);
      const auto low0 = hn::Mul(word0, multiplier0);
      const auto low1 = hn::Mul(word2, multiplier1);
      word0 = hn::Xor(hn::Xor(high1, word1), key0);
      word1 = low1;
      word2 = hn::Xor(hn::Xor(high0, word3), key1);
      word3 = low0;
      key0 = hn::Add(key0, hn::Set(d, 0x9E3779B9U));
      key1 = hn::Add(key1, hn::Set(d, 0xBB67AE85U));
    }
    hn::Store(word0, d, words[0]);
    hn::Store(word1, d, words[1]);
    hn::Store(word2, d, words[2]);
    hn::Store(word3, d, words[3]);
    const std::int64_t wanted = std::min(lanes, blocks - done);
    for (std::int64_t lane = 0; lane < wanted; ++lane) {
      std::uint16_t* out = numbers + (done + lane) * 8;
      for (std::int64_t i = 0; i < 4; ++i) {
        out[2 * i] = static_cast<std::uint16_t>(words[i][lane]);
        out[2 * i + 1] = static_cast<std::uint16_t>(words[i][lane] >> 16);
      }
    }
  }
}

/// The smallest number that keeps.
inline std::uint32_t dropout_threshold(double probability) {
  return static_cast<std::uint32_t>(std::lround(probability * 65536));
}

/// Calls body(i, n, numbers) for neighbouring parts [i, i + n) of [0, count), with numbers[j] that of element first + i
/// + j; i and n may be any whole numbers, n at most dropout_batch.
template <class Body>
HWY_INLINE void for_dropout_numbers(RandomKey key, std::uint64_t first, std::int64_t count, const Body& body) {
  std::uint16_t numbers[dropout_batch];
  std::int64_t i = 0;
  while (i < count) {
    const std::uint64_t at = first + static_cast<std::uint64_t>(i);
    const auto skip = static_cast<std::int64_t>(at % 8);
    const std::int64_t n = std::min(dropout_batch - skip, count - i);
    dropout_numbers(key, at / 8, (skip + n + 7) / 8, numbers);
    body(i, n, numbers + skip);
    i += n;
  }
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
