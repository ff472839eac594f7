#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace zoo {

/// What a pool holds and has asked of the system.
struct PoolStatistics {
  std::size_t bytes_in_use = 0;
  std::size_t peak_bytes_in_use = 0;     ///< since the last reset_pool_peak()
  std::size_t bytes_from_system = 0;     ///< in use or cached
  std::uint64_t system_allocations = 0;  ///< grows only while new sizes are seen: constant in the steady state
};

/// A block of at least `bytes` from the caching pool, aligned to 64 bytes. Blocks are sorted into size classes; a free
/// block of the class is reused, last freed first, so the steady state of a training step takes nothing from the system
/// and sees the same addresses each time. Thread-safe. Throws std::bad_alloc when the system has none.
void* pool_allocate(std::size_t bytes);
/// Returns a block; `bytes` as given to pool_allocate. nullptr is ignored.
void pool_free(void* block, std::size_t bytes) noexcept;
/// How many bytes of a block its owner may use, who asked for `bytes`: all of its size class, but no more than `bytes`
/// where guards or AddressSanitizer watch its end.
std::size_t pool_block_bytes(const void* block, std::size_t bytes);
/// The bytes of the size class that `bytes` belong to: another device's pool has the same classes.
std::size_t pool_class_bytes(std::size_t bytes);
/// Adds to the statistics what another device's pool has given or got back (negative), and what it has asked of its
/// system meanwhile.
void pool_account(std::ptrdiff_t in_use, std::ptrdiff_t from_system);
/// Gives all cached blocks back to the system.
void pool_trim() noexcept;
PoolStatistics pool_statistics();
/// Whether free blocks are kept and reused. Not under AddressSanitizer, which sees a use after free only when blocks
/// really go back, and a read beyond a block only when it is as large as was asked for.
bool pool_reuses_blocks();
/// Makes the blocks now in use the peak.
void reset_pool_peak();

/// While one lives, on any thread: blocks are surrounded by guard bytes, fresh blocks are filled with NaN, and a write
/// outside a block is found when it is freed (reported by pool_guard_violations). For tests.
class PoolGuard {
 public:
  PoolGuard();
  ~PoolGuard();
  PoolGuard(const PoolGuard&) = delete;
  PoolGuard& operator=(const PoolGuard&) = delete;
};
/// Blocks found with damaged guard bytes so far.
std::uint64_t pool_guard_violations();

/// The pool as a standard allocator: tape nodes and their small vectors live there too.
template <typename T>
struct PoolAllocator {
  using value_type = T;
  PoolAllocator() = default;
  template <typename U>
  PoolAllocator(const PoolAllocator<U>&) {}  // NOLINT(google-explicit-constructor): as the standard asks
  T* allocate(std::size_t count) { return static_cast<T*>(pool_allocate(count * sizeof(T))); }
  void deallocate(T* block, std::size_t count) noexcept { pool_free(block, count * sizeof(T)); }
  bool operator==(const PoolAllocator&) const { return true; }
};

/// A vector that takes its memory from the pool.
template <typename T>
using PoolVector = std::vector<T, PoolAllocator<T>>;

/// std::make_shared from the pool.
template <typename T, typename... Args>
std::shared_ptr<T> pool_shared(Args&&... args) {
  return std::allocate_shared<T>(PoolAllocator<T>{}, std::forward<Args>(args)...);
}

}  // namespace zoo
