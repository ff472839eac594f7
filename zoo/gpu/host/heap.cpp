#include "zoo/gpu/host/heap.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "zoo/core/error.h"
#include "zoo/gpu/host/arena.h"
#include "zoo/gpu/host/fault_text.h"
#include "zoo/gpu/host/sanitizers.h"

namespace zoo::gpu::host {

namespace {

constexpr std::size_t address_bytes = std::size_t{1} << 37;
constexpr std::size_t page_bytes = 4096;
constexpr std::size_t quarantined_allocations = 64;
// Of what has been freed, so much of its beginning is checked after each launch.
constexpr std::size_t watched_bytes = 1024;

}  // namespace

Heap::Heap() {
  void* memory = mmap(nullptr, address_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw Error("the emulated GPU could not reserve {} bytes of addresses; is there a limit on them (ulimit -v)?",
                address_bytes);
  begin_ = static_cast<char*>(memory);
}

void Heap::protect(int protection) {
  if (used_ > 0 && mprotect(begin_, used_, protection) != 0) throw std::bad_alloc();
}

Heap::Access::Access(Heap& heap) : heap_(heap) {
  if (heap_.accesses_++ == 0) heap_.protect(PROT_READ | PROT_WRITE);
}

Heap::Access::~Access() {
  if (--heap_.accesses_ == 0) heap_.protect(PROT_NONE);
}

void* Heap::allocate(std::size_t bytes, const char* file, unsigned line) {
  if (bytes == 0) return nullptr;
  const std::size_t limit = device().memory_bytes;
  if (bytes > limit - std::min(limit, bytes_in_use_))
    throw Error("out of memory on {}: {} bytes were asked for at {}, {} of {} are free", device().name, bytes,
                text({file, line}), limit - std::min(limit, bytes_in_use_), limit);
  const std::size_t pages_bytes = (bytes + 2 * red_zone_bytes + page_bytes - 1) / page_bytes * page_bytes;
  char* pages = begin_ + used_;
  const auto reusable = free_pages_.find(pages_bytes);
  if (reusable != free_pages_.end()) {
    pages = reusable->second;
    free_pages_.erase(reusable);
  } else if (used_ + pages_bytes > address_bytes) {
    throw Error("the emulated GPU has used up its {} bytes of addresses; allocate less often, from a pool",
                address_bytes);
  } else {
    used_ += pages_bytes;
  }
  const Access access(*this);
  // Pages used for the first time, where the others can be touched already.
  if (accesses_ > 1 && mprotect(pages, pages_bytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  const Allocation allocation = {bytes, pages_bytes, file, line, false};
  allow_access(pages, pages_bytes);
  std::memset(pages + red_zone_bytes, 0xff, bytes);
  surround(pages, allocation);
  allocations_[pages] = allocation;
  bytes_in_use_ += bytes;
  return pages + red_zone_bytes;
}

void Heap::surround(char* pages, const Allocation& allocation) {
  char* data = pages + red_zone_bytes;
  char* end = data + allocation.bytes;
  allow_access(pages, allocation.pages_bytes);
  fill_red_zone(pages, red_zone_bytes);
  fill_red_zone(end, red_zone_bytes);
  if (allocation.freed) std::memset(data, 0xff, std::min(allocation.bytes, watched_bytes));
  forbid_access(pages, allocation.freed ? allocation.pages_bytes : red_zone_bytes);
  forbid_access(end, allocation.pages_bytes - red_zone_bytes - allocation.bytes);
}

void Heap::free(void* memory) {
  const auto found = allocations_.find(static_cast<char*>(memory) - red_zone_bytes);
  if (found == allocations_.end())
    throw Error("device_free of {}, which is {}; free exactly what device_allocate gave", memory, describe(memory));
  Allocation& allocation = found->second;
  if (allocation.freed) throw Error("device_free of {}, which was freed before: {}", memory, describe(memory));
  const Access access(*this);
  const std::string damaged = damage_of(found->first, allocation);
  allocation.freed = true;
  bytes_in_use_ -= allocation.bytes;
  surround(found->first, allocation);
  quarantine_.push_back(found->first);
  if (quarantine_.size() > quarantined_allocations) forget_oldest();
  if (!damaged.empty()) throw Error("{}", damaged);
}

void Heap::forget_oldest() {
  char* pages = quarantine_.front();
  quarantine_.pop_front();
  const std::size_t bytes = allocations_.at(pages).pages_bytes;
  allocations_.erase(pages);
  madvise(pages, bytes, MADV_DONTNEED);
  free_pages_.emplace(bytes, pages);
}

Heap::Allocations::const_iterator Heap::find(const void* address) const {
  auto after = allocations_.upper_bound(static_cast<char*>(const_cast<void*>(address)));
  if (after == allocations_.begin()) return allocations_.end();
  const auto found = std::prev(after);
  return address < found->first + found->second.pages_bytes ? found : allocations_.end();
}

bool Heap::contains(const void* address) const {
  return address >= begin_ && address < begin_ + address_bytes;
}

std::string Heap::describe(const void* address) const {
  if (!contains(address)) return fmt::format("{}, not device memory", address);
  const auto found = find(address);
  if (found == allocations_.end()) return fmt::format("{}, device memory that is not allocated", address);
  const Allocation& allocation = found->second;
  return fmt::format("byte {} of the {}allocation of {} bytes made at {}",
                     static_cast<const char*>(address) - found->first - static_cast<std::ptrdiff_t>(red_zone_bytes),
                     allocation.freed ? "freed " : "", allocation.bytes, text({allocation.file, allocation.line}));
}

void Heap::check_range(const void* begin, std::size_t bytes, const std::string& what) const {
  const auto found = contains(begin) ? find(begin) : allocations_.end();
  if (found != allocations_.end() && !found->second.freed) {
    const char* first = found->first + red_zone_bytes;
    if (begin >= first && static_cast<const char*>(begin) + bytes <= first + found->second.bytes) return;
    throw Error("{} covers {} bytes from {}, which is more than it holds", what, bytes, describe(begin));
  }
  throw Error("{} must be in device memory, but is {}", what, describe(begin));
}

std::string Heap::damage_of(const char* pages, const Allocation& allocation) const {
  if constexpr (address_sanitizer) return "";  // it reports the access itself
  const char* damaged = damaged_byte(pages, red_zone_bytes);
  if (damaged == nullptr) damaged = damaged_byte(pages + red_zone_bytes + allocation.bytes, red_zone_bytes);
  if (damaged != nullptr) return fmt::format("out-of-bounds write: {} was written", describe(damaged));
  if (!allocation.freed) return "";
  const char* begin = pages + red_zone_bytes;
  const char* end = begin + std::min(allocation.bytes, watched_bytes);
  damaged = std::find_if(begin, end, [](char byte) { return byte != '\xff'; });
  return damaged == end ? "" : fmt::format("write after free: {} was written", describe(damaged));
}

std::string Heap::take_damage() {
  std::string result;
  for (const auto& [pages, allocation] : allocations_) {
    const std::string found = damage_of(pages, allocation);
    if (found.empty()) continue;
    result += (result.empty() ? "" : "; ") + found;
    surround(pages, allocation);
  }
  return result;
}

std::vector<DeviceAllocation> Heap::live() const {
  std::vector<DeviceAllocation> result;
  for (const auto& [pages, allocation] : allocations_) {
    if (!allocation.freed)
      result.push_back({pages + red_zone_bytes, allocation.bytes, allocation.file, allocation.line});
  }
  return result;
}

// Never destroyed: tensors with static storage may outlive any order of destruction.
Heap& heap() {
  static Heap* instance = new Heap;
  return *instance;
}

}  // namespace zoo::gpu::host
