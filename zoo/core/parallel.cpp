#include "zoo/core/parallel.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <atomic>

#include "zoo/core/error.h"

namespace zoo {

namespace {

std::atomic<int> thread_count = 0;  // 0: not yet set

void flush_denormals() {
#if defined(__SSE__)
  constexpr unsigned flush_to_zero = 0x8000;
  constexpr unsigned denormals_are_zero = 0x0040;
  _mm_setcsr(_mm_getcsr() | flush_to_zero | denormals_are_zero);
#endif
}

}  // namespace

void set_threads(int count) {
  if (count < 1) throw UsageError("the number of threads is {}; it must be at least 1", count);
  omp_set_dynamic(0);
  omp_set_num_threads(count);
  // Threads that OpenMP starts later inherit the setting from the one that starts them.
  flush_denormals();
#pragma omp parallel num_threads(count)
  flush_denormals();
  thread_count = count;
}

int threads() {
  if (thread_count == 0) set_threads(omp_get_max_threads());
  return thread_count;
}

}  // namespace zoo
