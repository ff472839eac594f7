#pragma once

// What the executor tells the sanitizers: which stack runs, what may be read, and what a barrier orders. Without a
// sanitizer all of it is empty. ZOO_GPU_RACE_CHECK is set by CMake: the executor itself is compiled without
// ThreadSanitizer's instrumentation, so that its own book-keeping orders nothing.

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(ZOO_GPU_RACE_CHECK)
#include <sanitizer/tsan_interface.h>
#endif

namespace zoo::gpu::host {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
inline void forbid_access(const void* at, std::size_t bytes) {
  __asan_poison_memory_region(at, bytes);
}
inline void allow_access(const void* at, std::size_t bytes) {
  __asan_unpoison_memory_region(at, bytes);
}
inline void start_stack_switch(void** keep, const void* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(keep, stack, bytes);
}
inline void finish_stack_switch(void* kept, const void** from, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(kept, from, bytes);
}
#else
inline constexpr bool address_sanitizer = false;
inline void forbid_access(const void*, std::size_t) {}
inline void allow_access(const void*, std::size_t) {}
inline void start_stack_switch(void**, const void*, std::size_t) {}
inline void finish_stack_switch(void*, const void**, std::size_t*) {}
#endif

/// What ThreadSanitizer holds for one line of execution. A switch to it orders nothing: only release and acquire do.
#if defined(ZOO_GPU_RACE_CHECK)
inline constexpr bool race_check = true;
inline void* create_trace() {
  return __tsan_create_fiber(0);
}
inline void destroy_trace(void* trace) {
  __tsan_destroy_fiber(trace);
}
inline void* current_trace() {
  return __tsan_get_current_fiber();
}
inline void switch_trace(void* trace) {
  __tsan_switch_to_fiber(trace, __tsan_switch_to_fiber_no_sync);
}
inline void release(void* tag) {
  __tsan_release(tag);
}
inline void acquire(void* tag) {
  __tsan_acquire(tag);
}
/// Forgets who touched these bytes, both numbers multiples of 8: what uses them next is in no order with it.
void forget_accesses(void* at, std::size_t bytes);
#else
inline constexpr bool race_check = false;
inline void* create_trace() {
  return nullptr;
}
inline void destroy_trace(void*) {}
inline void* current_trace() {
  return nullptr;
}
inline void switch_trace(void*) {}
inline void release(void*) {}
inline void acquire(void*) {}
inline void forget_accesses(void*, std::size_t) {}
#endif

/// Lets `trace` see all that was released to `tag`, on behalf of a thread that is not running.
inline void acquire_for(void* trace, void* tag) {
  if constexpr (race_check) {
    void* self = current_trace();
    switch_trace(trace);
    acquire(tag);
    switch_trace(self);
  }
}

}  // namespace zoo::gpu::host
