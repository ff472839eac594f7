#pragma once

#include <cstddef>
#include <functional>
#include <type_traits>

#include "zoo/gpu/host/vector_types.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu::host {

/// Throws KernelFault when a launch is beyond the limits of device().
void check_launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes);
/// Throws KernelFault when a pointer is neither null nor into (or one past) a live allocation of device memory.
void check_pointer(const void* kernel, int number, const void* pointer);

template <typename T>
void check_argument(const void* kernel, int number, const T& value) {
  if constexpr (std::is_pointer_v<T>) {
    if constexpr (!std::is_function_v<std::remove_pointer_t<T>>) check_pointer(kernel, number, value);
  }
}

/// Gives a stream a kernel, which `as_one_thread` calls with its arguments.
void launch(const void* kernel, std::function<void()> as_one_thread, dim3 grid, dim3 block, std::size_t shared_bytes,
            Stream& stream);

}  // namespace zoo::gpu::host
