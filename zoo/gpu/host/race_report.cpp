// What ThreadSanitizer calls and asks: a race inside a kernel becomes a KernelFault of the kernel.
#include "zoo/gpu/host/block.h"

#if defined(ZOO_GPU_RACE_CHECK)

#include <cstddef>

namespace {

int races_outside = 0;

}  // namespace

extern "C" {

int __tsan_get_report_data(void* report, const char** description, int* count, int* stacks, int* accesses, int* places,
                           int* mutexes, int* threads, int* thread_ids, void** sleep, std::size_t sleep_size);
int __tsan_get_report_mop(void* report, std::size_t index, int* thread, void** address, int* size, int* write,
                          int* atomic, void** trace, std::size_t trace_size);

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
}

// The process fails by its exit code for other races only: those in kernels are thrown.
int __tsan_on_finalize(int) {
  return races_outside > 0 ? 1 : 0;
}

// Blocks of one launch after another have their shared memory at the same addresses.
const char* __tsan_default_options() {
  return "suppress_equal_addresses=0";
}
}

#endif
