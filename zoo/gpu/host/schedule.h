#pragma once

#include <cstdint>

namespace zoo::gpu::host {

/// A new number for each call, counted from 0 since the seed was set.
std::uint64_t next_launch_number();
/// The same, for choices between streams.
std::uint64_t next_choice_number();

/// splitmix64: a few nanoseconds a number, good enough to shuffle.
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) : state_(seed) {
    state_ = next() + stream;
    next();
  }
  std::uint64_t next() {
    std::uint64_t value = state_ += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
  /// A number below `limit`, which is at most 2^32.
  std::uint64_t below(std::uint64_t limit) { return ((next() >> 32) * limit) >> 32; }

 private:
  std::uint64_t state_;
};

}  // namespace zoo::gpu::host
