// What ThreadSanitizer calls and asks: a race inside a kernel becomes a KernelFault of the kernel.
#include "zoo/gpu/host/block.h"

#if defined(ZOO_GPU_RACE_CHECK)

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

#include "zoo/gpu/host/sanitizers.h"

namespace {

int races_in_kernels = 0;
int races_outside = 0;

}  // namespace

extern "C" {

int __tsan_get_report_data(void* report, const char** description, int* count, int* stacks, int* accesses, int* places,
                           int* mutexes, int* threads, int* thread_ids, void** sleep, std::size_t sleep_size);
int __tsan_get_report_mop(void* report, std::size_t index, int* thread, void** address, int* size, int* write,
                          int* atomic, void** trace, std::size_t trace_size);

// For heaps that move objects, as Java's do. No heap is announced: reports would search it for an address's object.
void __tsan_java_free(std::uintptr_t at, std::size_t bytes);
void __tsan_java_move(std::uintptr_t from, std::uintptr_t to, std::size_t bytes);

void __tsan_on_report(void* report) {
  const char* description = nullptr;
  int number = 0;
  int accesses = 0;
  void* address = nullptr;
  void* caller = nullptr;
  __tsan_get_report_data(report, &description, &number, &number, &accesses, &number, &number, &number, &number, &caller,
                         1);
  zoo::gpu::host::Block* block = zoo::gpu::host::Block::running();
  if (block == nullptr || accesses == 0) {
    ++races_outside;
    return;
  }
  __tsan_get_report_mop(report, 0, &number, &address, &number, &number, &number, &caller, 1);
  block->note_race(address);
  ++races_in_kernels;
}

// The process fails by its exit code for other races only: those in kernels are thrown. Where this is part of a shared
// library, the program's own empty __tsan_on_report is called instead of the one above: nothing is thrown, and what was
// reported must not be forgotten.
int __tsan_on_finalize(int failed) {
  return races_in_kernels == 0 ? failed : static_cast<int>(races_outside > 0);
}

// Blocks of one launch after another have their shared memory at the same addresses.
const char* __tsan_default_options() {
  return "suppress_equal_addresses=0";
}
}

namespace zoo::gpu::host {

namespace {

// Memory that nobody touches.
constexpr std::size_t untouched_bytes = std::size_t{1} << 16;

std::uintptr_t map_untouched() {
  void* memory = mmap(nullptr, untouched_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return reinterpret_cast<std::uintptr_t>(memory);
}

}  // namespace

// ThreadSanitizer clears memory when it is unmapped, at a cost of system calls and page faults that is many times that
// of a kernel's thread; moving what it knows of untouched memory there costs little.
void forget_accesses(void* at, std::size_t bytes) {
  static const std::uintptr_t untouched = map_untouched();
  auto to = reinterpret_cast<std::uintptr_t>(at);
  while (bytes > 0) {
    const std::size_t part = std::min(bytes, untouched_bytes);
    __tsan_java_free(to, part);
    __tsan_java_move(untouched, to, part);
    to += part;
    bytes -= part;
  }
}

}  // namespace zoo::gpu::host

#endif
