#include "counter.h"

#include <atomic>
#include <cstdint>

#include "zoo/gpu/host/block.h"

namespace zoo::gpu {

namespace {

std::atomic<std::uint64_t> counted = 0;
std::vector<std::pair<std::size_t, std::size_t>> ignored_ranges;

void count(const void* at, std::size_t bytes) {
  const host::Block* block = host::Block::running();
  if (block == nullptr || !block->shared().contains(at, bytes)) return;
  const auto offset =
      static_cast<std::size_t>(static_cast<const char*>(at) - static_cast<const char*>(block->shared().begin()));
  for (const auto& [first, second] : ignored_ranges) {
    if (offset >= first && offset < second) return;
  }
  counted.fetch_add(bytes, std::memory_order_relaxed);
}

}  // namespace

double shared_count() {
  return static_cast<double>(counted.load());
}

void reset_shared_count(std::vector<std::pair<std::size_t, std::size_t>> ignored) {
  ignored_ranges = std::move(ignored);
  counted = 0;
}

}  // namespace zoo::gpu

// What the compiler calls, GCC's and LLVM's.
extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void** /*at*/, void* /*value*/) {}
void __tsan_vptr_read(void** /*at*/) {}

#define ZOO_COUNT(bytes)                              \
  void __tsan_read##bytes(void* at) {                 \
    zoo::gpu::count(at, bytes);                       \
  }                                                   \
  void __tsan_write##bytes(void* at) {                \
    zoo::gpu::count(at, bytes);                       \
  }                                                   \
  void __tsan_unaligned_read##bytes(const void* at) { \
    zoo::gpu::count(at, bytes);                       \
  }                                                   \
  void __tsan_unaligned_write##bytes(void* at) {      \
    zoo::gpu::count(at, bytes);                       \
  }
ZOO_COUNT(1)
ZOO_COUNT(2)
ZOO_COUNT(4)
ZOO_COUNT(8)
ZOO_COUNT(16)
#undef ZOO_COUNT

void __tsan_read_range(void* at, std::size_t bytes) {
  zoo::gpu::count(at, bytes);
}
void __tsan_write_range(void* at, std::size_t bytes) {
  zoo::gpu::count(at, bytes);
}
}
