#include "zoo/gpu/memory.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "zoo/core/error.h"
#include "zoo/gpu/emulation.h"
#include "zoo/gpu/fault.h"
#include "zoo/gpu/host/heap.h"
#include "zoo/gpu/host/queues.h"

namespace zoo::gpu {

namespace {

constexpr std::align_val_t pinned_alignment{256};

// From the first unified allocation on, until the process ends. Nobody reads it: without `used` the compiler drops it,
// and LeakSanitizer finds what it points to lost.
[[gnu::used]] const host::Heap::Access* unified_access = nullptr;

// Sizes of the pinned blocks, by their addresses.
std::map<const char*, std::size_t>& pinned_blocks() {
  static std::map<const char*, std::size_t> blocks;
  return blocks;
}

void check_pinned(const void* begin, std::size_t bytes, const char* what) {
  auto& blocks = pinned_blocks();
  const auto* first = static_cast<const char*>(begin);
  const auto after = blocks.upper_bound(first);
  if (after == blocks.begin() || first >= std::prev(after)->first + std::prev(after)->second)
    throw Error("{} must be pinned host memory, but is {}; allocate it as a PinnedBuffer", what,
                host::heap().contains(begin) ? host::heap().describe(begin)
                                             : fmt::format("{}, which pinned_allocate did not give", begin));
  const auto& [block, size] = *std::prev(after);
  if (first + bytes > block + size)
    throw Error("{} covers {} bytes from byte {} of a pinned block of {} bytes", what, bytes, first - block, size);
}

void copy_later(void* to, const void* from, std::size_t bytes, Stream& stream) {
  host::enqueue(stream, {.kind = host::OperationKind::copy, .run = [=] { std::memmove(to, from, bytes); }});
}

}  // namespace

void* device_allocate(std::size_t bytes, const char* file, unsigned line) {
  host::refuse_while_recording("device memory was allocated");
  const std::lock_guard lock(host::device_mutex());
  return host::heap().allocate(bytes, file, line);
}

void* unified_allocate(std::size_t bytes, const char* file, unsigned line) {
  const std::lock_guard lock(host::device_mutex());
  if (unified_access == nullptr) unified_access = new host::Heap::Access(host::heap());
  return host::heap().allocate(bytes, file, line);
}

void device_free(void* memory) {
  if (memory == nullptr) return;
  host::refuse_while_recording("device memory was freed");
  const std::lock_guard lock(host::device_mutex());
  host::finish_all();
  host::heap().free(memory);
}

void detail::device_free_later(void* memory) noexcept {
  // A fault drops all work, so the second attempt has nothing to wait for.
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      device_free(memory);
      return;
    } catch (const KernelFault&) {
      host::keep_fault(std::current_exception());
    } catch (...) {
      host::keep_fault(std::current_exception());
      return;
    }
  }
}

void* pinned_allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const std::lock_guard lock(host::device_mutex());
  auto* block = static_cast<char*>(::operator new(bytes, pinned_alignment));
  std::memset(block, 0xff, bytes);
  pinned_blocks().emplace(block, bytes);
  return block;
}

void pinned_free(void* memory) noexcept {
  if (memory == nullptr) return;
  const std::lock_guard lock(host::device_mutex());
  pinned_blocks().erase(static_cast<const char*>(memory));
  ::operator delete(memory, pinned_alignment);
}

void copy_to_device_async(void* device, const void* pinned, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  const std::lock_guard lock(host::device_mutex());
  host::heap().check_range(device, bytes, "copy_to_device_async: the destination");
  check_pinned(pinned, bytes, "copy_to_device_async: the source");
  copy_later(device, pinned, bytes, stream);
}

void copy_to_host_async(void* pinned, const void* device, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  const std::lock_guard lock(host::device_mutex());
  host::heap().check_range(device, bytes, "copy_to_host_async: the source");
  check_pinned(pinned, bytes, "copy_to_host_async: the destination");
  // Who reads it before the stream has been synchronised reads NaN.
  std::memset(pinned, 0xff, bytes);
  copy_later(pinned, device, bytes, stream);
}

void copy_on_device_async(void* to, const void* from, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  const std::lock_guard lock(host::device_mutex());
  host::heap().check_range(to, bytes, "copy_on_device_async: the destination");
  host::heap().check_range(from, bytes, "copy_on_device_async: the source");
  copy_later(to, from, bytes, stream);
}

void fill_async(void* device, unsigned char value, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  const std::lock_guard lock(host::device_mutex());
  host::heap().check_range(device, bytes, "fill_async: the destination");
  host::enqueue(stream, {.kind = host::OperationKind::fill, .run = [=] { std::memset(device, value, bytes); }});
}

std::vector<DeviceAllocation> device_allocations() {
  const std::lock_guard lock(host::device_mutex());
  return host::heap().live();
}

}  // namespace zoo::gpu
