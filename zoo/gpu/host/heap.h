#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "zoo/gpu/emulation.h"

namespace zoo::gpu::host {

/// The emulated device's memory: one range of addresses, which can be touched only while the device works, so that the
/// host cannot follow a device pointer by mistake. Fresh allocations are NaN; each is surrounded by red zones; what is
/// freed is poisoned, and watched for a while.
class Heap {
 public:
  Heap();

  void* allocate(std::size_t bytes, const char* file, unsigned line);
  void free(void* memory);

  /// Throws Error unless [begin, begin + bytes) lies inside one live allocation; `what` begins the message.
  void check_range(const void* begin, std::size_t bytes, const std::string& what) const;
  /// Whether an address belongs to the device, allocated or not.
  bool contains(const void* address) const;
  /// "byte 12 of the allocation of 64 bytes made at f.cpp:7", also of what has been freed.
  std::string describe(const void* address) const;
  /// What was written outside of allocations since the last call, "" when nothing: the first byte of each found, which
  /// is then repaired.
  std::string take_damage();
  std::vector<DeviceAllocation> live() const;
  std::size_t bytes_in_use() const { return bytes_in_use_; }
  /// Live or watched, of whose surroundings take_damage() reads some hundred bytes each.
  std::size_t allocations() const { return allocations_.size(); }

  /// While one lives the memory can be touched.
  class Access {
   public:
    explicit Access(Heap& heap);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    Heap& heap_;
  };

 private:
  struct Allocation {
    std::size_t bytes = 0;
    std::size_t pages_bytes = 0;
    const char* file = "";
    unsigned line = 0;
    bool freed = false;
  };
  using Allocations = std::map<char*, Allocation>;  ///< live or in quarantine, by the address of their first page

  Allocations::const_iterator find(const void* address) const;
  std::string damage_of(const char* pages, const Allocation& allocation) const;
  void surround(char* pages, const Allocation& allocation);
  void forget_oldest();
  void protect(int protection);

  char* begin_ = nullptr;
  std::size_t used_ = 0;
  std::size_t bytes_in_use_ = 0;
  Allocations allocations_;
  std::deque<char*> quarantine_;
  std::multimap<std::size_t, char*> free_pages_;  ///< by their bytes
  int accesses_ = 0;
};

Heap& heap();

}  // namespace zoo::gpu::host
