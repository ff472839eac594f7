// ThreadSanitizer calls this for each report: a race inside a kernel becomes a KernelFault of the kernel.
#include "zoo/gpu/host/race_report.h"

#include "zoo/gpu/host/block.h"

#if defined(ZOO_GPU_RACE_CHECK)

#include <cstddef>

namespace {

int races_outside = 0;

}  // namespace

extern "C" {

int __tsan_get_report_mop(void* report, std::size_t index, int* thread, void** address, int* size, int* write,
                          int* atomic, void** trace, std::size_t trace_size);

void __tsan_on_report(void* report) {
  zoo::gpu::host::Block* block = zoo::gpu::host::Block::running();
  if (block == nullptr) {
    ++races_outside;
    return;
  }
  int number = 0;
  void* address = nullptr;
  void* caller = nullptr;
  __tsan_get_report_mop(report, 0, &number, &address, &number, &number, &number, &caller, 1);
  block->note_race(address);
}
}

int zoo::gpu::host::races_outside_kernels() {
  return races_outside;
}

#else

int zoo::gpu::host::races_outside_kernels() {
  return 0;
}

#endif
