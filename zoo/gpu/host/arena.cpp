#include "zoo/gpu/host/arena.h"

#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <new>

#include "zoo/gpu/host/sanitizers.h"

namespace zoo::gpu::host {

namespace {

constexpr std::array<unsigned char, 4> pattern = {0xa5, 0xa5, 0xf7, 0x7f};

unsigned char expected(const char* at) {
  return pattern[reinterpret_cast<std::uintptr_t>(at) % pattern.size()];
}

}  // namespace

void fill_red_zone(char* begin, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) begin[i] = static_cast<char>(expected(begin + i));
}

const char* damaged_byte(const char* begin, std::size_t bytes) {
  // Mostly nothing is damaged: whole words first, which hold the pattern twice where they are aligned to it.
  if (reinterpret_cast<std::uintptr_t>(begin) % pattern.size() == 0) {
    std::uint64_t whole = 0;
    std::memcpy(&whole, pattern.data(), pattern.size());
    std::memcpy(reinterpret_cast<char*>(&whole) + pattern.size(), pattern.data(), pattern.size());
    std::uint64_t word = 0;
    for (; bytes >= sizeof word; begin += sizeof word, bytes -= sizeof word) {
      std::memcpy(&word, begin, sizeof word);
      if (word != whole) break;
    }
  }
  for (std::size_t i = 0; i < bytes; ++i) {
    if (static_cast<unsigned char>(begin[i]) != expected(begin + i)) return begin + i;
  }
  return nullptr;
}

Arena::~Arena() {
  release_memory();
}

void Arena::release_memory() {
  if (memory_ == nullptr) return;
  allow_access(memory_, capacity_);
  munmap(memory_, capacity_);
  memory_ = nullptr;
  capacity_ = 0;
}

void Arena::reset(std::size_t bytes) {
  const std::size_t needed = bytes + 2 * red_zone_bytes;
  if (needed > capacity_) {
    release_memory();
    void* memory = mmap(nullptr, needed, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<char*>(memory);
    capacity_ = needed;
  }
  forget_accesses(memory_, (needed + 7) / 8 * 8);  // of the block before
  data_ = memory_ + red_zone_bytes;
  bytes_ = bytes;
  allow_access(memory_, capacity_);
  fill_red_zone(memory_, red_zone_bytes);
  std::memset(data_, 0xff, bytes);
  fill_red_zone(data_ + bytes, red_zone_bytes);
  forbid_access(memory_, red_zone_bytes);
  forbid_access(data_ + bytes, capacity_ - red_zone_bytes - bytes);
}

bool Arena::contains(const void* at, std::size_t bytes) const {
  const auto* begin = static_cast<const char*>(at);
  return begin >= data_ && begin + bytes <= data_ + bytes_;
}

std::ptrdiff_t Arena::damage() const {
  if constexpr (address_sanitizer) return 0;  // it reports the access itself
  if (const char* before = damaged_byte(memory_, red_zone_bytes)) return before - data_;
  if (const char* behind = damaged_byte(data_ + bytes_, red_zone_bytes)) return behind - data_;
  return 0;
}

}  // namespace zoo::gpu::host
