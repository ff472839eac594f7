#pragma once

#include <cstddef>

namespace zoo::gpu::host {

/// A block's dynamic shared memory: poisoned with NaN, between two red zones.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Makes exactly `bytes` usable, all of them 0xff, which is NaN in every floating-point format.
  void reset(std::size_t bytes);
  void* begin() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  bool contains(const void* at, std::size_t bytes) const;
  /// How far from the beginning a byte outside was written: negative before it, >= bytes() behind it; 0 when none was.
  std::ptrdiff_t damage() const;

 private:
  void release_memory();

  char* memory_ = nullptr;
  std::size_t capacity_ = 0;
  char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Red zones hold a pattern that is NaN when read as a float or a double, and that no kernel writes by accident.
inline constexpr std::size_t red_zone_bytes = 256;
void fill_red_zone(char* begin, std::size_t bytes);
/// The first byte of a red zone that is not as it was filled, or nullptr.
const char* damaged_byte(const char* begin, std::size_t bytes);

}  // namespace zoo::gpu::host
