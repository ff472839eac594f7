#include "zoo/core/random.h"

#include <cmath>
#include <numbers>

namespace zoo {

namespace {

// The finaliser of SplitMix64 (Steele et al. 2014): every bit of the input changes every bit of the output.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

}  // namespace

RandomKey RandomKey::of(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t hash = mix(seed);
  for (const char letter : purpose) hash = mix(hash ^ static_cast<unsigned char>(letter));
  return {hash};
}

RandomKey RandomKey::fold(std::uint64_t index) const {
  return {mix(value ^ mix(index + 0x632BE59BD9B4E019))};
}

std::uint32_t RandomStream::next_u32() {
  if (used_ == 4) {
    words_ = philox({static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32), 0, 0},
                    {static_cast<std::uint32_t>(key_.value), static_cast<std::uint32_t>(key_.value >> 32)});
    ++block_;
    used_ = 0;
  }
  return words_[static_cast<std::size_t>(used_++)];
}

std::uint64_t RandomStream::next_u64() {
  const std::uint64_t low = next_u32();
  return low | (std::uint64_t{next_u32()} << 32);
}

std::uint64_t RandomStream::below(std::uint64_t bound) {
  if (bound <= 0xFFFFFFFF) {
    const auto narrow = static_cast<std::uint32_t>(bound);
    std::uint64_t product = std::uint64_t{next_u32()} * narrow;
    if (static_cast<std::uint32_t>(product) < narrow) {
      const std::uint32_t threshold = (0 - narrow) % narrow;
      while (static_cast<std::uint32_t>(product) < threshold) product = std::uint64_t{next_u32()} * narrow;
    }
    return product >> 32;
  }
  const std::uint64_t threshold = (0 - bound) % bound;
  std::uint64_t draw = next_u64();
  while (draw < threshold) draw = next_u64();
  return draw % bound;
}

double RandomStream::uniform() {
  return static_cast<double>(next_u64() >> 11) * 0x1.0p-53;
}

double RandomStream::normal() {
  if (has_spare_normal_) {
    has_spare_normal_ = false;
    return spare_normal_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  const double angle = 2.0 * std::numbers::pi * uniform();
  spare_normal_ = radius * std::sin(angle);
  has_spare_normal_ = true;
  return radius * std::cos(angle);
}

}  // namespace zoo
