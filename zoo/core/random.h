#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace zoo {

/// Four random words: Philox4x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
/// A pure function of key and counter, so the numbers are the same whatever the thread, the worker or the device.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Names a stream of random numbers: seed, purpose and index. Equal keys give equal numbers everywhere.
struct RandomKey {
  std::uint64_t value = 0;

  /// A key for `purpose` ("mqar/train", "dropout") under a seed.
  static RandomKey of(std::uint64_t seed, std::string_view purpose);
  /// The key of a part: a step, a layer, an example.
  RandomKey fold(std::uint64_t index) const;
};

/// Draws in sequence from one key's stream: block i of the stream is philox(counter = i). Integers are unbiased.
class RandomStream {
 public:
  explicit RandomStream(RandomKey key) : key_(key) {}

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  /// Uniform in [0, bound), without bias; bound >= 1 (Lemire 2019).
  std::uint64_t below(std::uint64_t bound);
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Standard normal deviate (Box-Muller, in a fixed order).
  double normal();

 private:
  RandomKey key_;
  std::uint64_t block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  int used_ = 4;
  bool has_spare_normal_ = false;
  double spare_normal_ = 0;
};

}  // namespace zoo
