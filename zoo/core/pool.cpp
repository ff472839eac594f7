#include "zoo/core/pool.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>

namespace zoo {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool caching = false;
#elif defined(__has_feature)
constexpr bool caching = !__has_feature(address_sanitizer);
#else
constexpr bool caching = true;
#endif

constexpr std::size_t alignment = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t guard_bytes = 64;
constexpr std::size_t classes = 400;  // the largest has more bytes than any machine
constexpr unsigned char guard_pattern = 0xA5;

// Size classes: multiples of 64 bytes up to 512, then eight to each doubling, so at most an eighth is wasted.
std::size_t class_of(std::size_t bytes) {
  const std::size_t lines = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment;
  if (lines <= 8) return lines - 1;
  const int top = std::bit_width(lines - 1) - 1;      // >= 3
  const std::size_t step = (lines - 1) >> (top - 3);  // in [8, 16)
  return static_cast<std::size_t>(top - 3) * 8 + step;
}

std::size_t class_bytes(std::size_t index) {
  if (index < 8) return (index + 1) * alignment;
  const std::size_t octave = index / 8 - 1;
  // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): there are fewer than 50 octaves
  return ((index % 8 + 8 + 1) << octave) * alignment;
}

struct FreeBlock {
  FreeBlock* next;
};

class Pool {
 public:
  void* allocate(std::size_t bytes) {
    const std::size_t index = class_of(bytes);
    if (index >= classes) throw std::bad_alloc();
    const std::size_t size = class_bytes(index);
    {
      const std::lock_guard lock(mutex_);
      statistics_.bytes_in_use += size;
      statistics_.peak_bytes_in_use = std::max(statistics_.peak_bytes_in_use, statistics_.bytes_in_use);
      if (FreeBlock* block = free_[index]) {
        free_[index] = block->next;
        return block;
      }
      statistics_.bytes_from_system += size;
      ++statistics_.system_allocations;
    }
    return from_system(size, bytes);
  }

  void release(void* block, std::size_t bytes) {
    const std::size_t index = class_of(bytes);
    const std::size_t size = class_bytes(index);
    const std::lock_guard lock(mutex_);
    statistics_.bytes_in_use -= size;
    if (!caching) {
      statistics_.bytes_from_system -= size;
      std::free(block);
      return;
    }
    free_[index] = ::new (block) FreeBlock{free_[index]};
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    for (std::size_t index = 0; index < free_.size(); ++index) {
      while (FreeBlock* block = free_[index]) {
        free_[index] = block->next;
        statistics_.bytes_from_system -= class_bytes(index);
        std::free(block);
      }
    }
  }

  PoolStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

  void account(std::ptrdiff_t in_use, std::ptrdiff_t from_system) {
    const std::lock_guard lock(mutex_);
    // Unsigned numbers take a negative one by wrapping.
    statistics_.bytes_in_use += static_cast<std::size_t>(in_use);
    statistics_.peak_bytes_in_use = std::max(statistics_.peak_bytes_in_use, statistics_.bytes_in_use);
    statistics_.bytes_from_system += static_cast<std::size_t>(from_system);
    if (from_system > 0) ++statistics_.system_allocations;
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    statistics_.peak_bytes_in_use = statistics_.bytes_in_use;
  }

 private:
  // A block of a class, of which `bytes` are asked for now.
  void* from_system(std::size_t size, std::size_t bytes) {
    const bool large = size >= 2 * huge_page;
    const std::size_t align = large ? huge_page : alignment;
    void* block = nullptr;
    if (::posix_memalign(&block, align, caching ? (size + align - 1) / align * align : bytes) != 0) {
      const std::lock_guard lock(mutex_);
      statistics_.bytes_in_use -= size;
      statistics_.bytes_from_system -= size;
      throw std::bad_alloc();
    }
    // Fewer misses of the translation cache on long passes; a refusal costs nothing.
    if (large) madvise(block, size, MADV_HUGEPAGE);
    return block;
  }

  std::mutex mutex_;
  std::array<FreeBlock*, classes> free_{};
  PoolStatistics statistics_;
};

// Never destroyed: tensors with static storage may outlive any order of destruction.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

std::atomic<int> guards_alive{0};
std::atomic<std::int64_t> guarded_blocks{0};
std::atomic<std::uint64_t> violations{0};
std::mutex guarded_mutex;
std::unordered_map<const void*, std::size_t>& guarded() {
  static auto* blocks = new std::unordered_map<const void*, std::size_t>;
  return *blocks;
}

void* allocate_guarded(std::size_t bytes) {
  auto* base = static_cast<unsigned char*>(pool().allocate(bytes + 2 * guard_bytes));
  std::memset(base, guard_pattern, guard_bytes);
  // All ones is a NaN in float32 and float64: a kernel that reads what it has not written shows.
  std::memset(base + guard_bytes, 0xFF, bytes);
  std::memset(base + guard_bytes + bytes, guard_pattern, guard_bytes);
  const std::lock_guard lock(guarded_mutex);
  guarded().emplace(base + guard_bytes, bytes);
  ++guarded_blocks;
  return base + guard_bytes;
}

bool is_guarded(const void* block) {
  if (guarded_blocks.load(std::memory_order_relaxed) == 0) return false;
  const std::lock_guard lock(guarded_mutex);
  return guarded().contains(block);
}

// Whether the block was a guarded one, and is now released.
bool release_guarded(void* block) {
  {
    const std::lock_guard lock(guarded_mutex);
    if (guarded().erase(block) == 0) return false;
    --guarded_blocks;
  }
  return true;
}

bool intact(const unsigned char* guard) {
  for (std::size_t i = 0; i < guard_bytes; ++i) {
    if (guard[i] != guard_pattern) return false;
  }
  return true;
}

}  // namespace

void* pool_allocate(std::size_t bytes) {
  return guards_alive.load(std::memory_order_relaxed) > 0 ? allocate_guarded(bytes) : pool().allocate(bytes);
}

void pool_free(void* block, std::size_t bytes) noexcept {
  if (block == nullptr) return;
  if (guarded_blocks.load(std::memory_order_relaxed) > 0 && release_guarded(block)) {
    auto* base = static_cast<unsigned char*>(block) - guard_bytes;
    if (!intact(base) || !intact(base + guard_bytes + bytes)) ++violations;
    pool().release(base, bytes + 2 * guard_bytes);
    return;
  }
  pool().release(block, bytes);
}

std::size_t pool_block_bytes(const void* block, std::size_t bytes) {
  return caching && !is_guarded(block) ? class_bytes(class_of(bytes)) : bytes;
}

std::size_t pool_class_bytes(std::size_t bytes) {
  return class_bytes(class_of(bytes));
}

void pool_account(std::ptrdiff_t in_use, std::ptrdiff_t from_system) {
  pool().account(in_use, from_system);
}

void pool_trim() noexcept {
  pool().trim();
}

PoolStatistics pool_statistics() {
  return pool().statistics();
}

bool pool_reuses_blocks() {
  return caching;
}

void reset_pool_peak() {
  pool().reset_peak();
}

PoolGuard::PoolGuard() {
  ++guards_alive;
}

PoolGuard::~PoolGuard() {
  --guards_alive;
}

std::uint64_t pool_guard_violations() {
  return violations.load();
}

}  // namespace zoo
