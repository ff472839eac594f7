#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/gpu/kernel.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/stream.h"

#if !defined(__CUDACC__)
#include "zoo/gpu/host/launch.h"
#endif

namespace zoo::gpu {

namespace detail {
/// cudaLaunchKernel, checked. More than 48 KiB of shared memory is asked for as CUDA wants it.
void launch_cuda(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes, Stream& stream);
}  // namespace detail

/// Gives a stream a kernel to run with `grid` blocks of `block` threads and `shared_bytes` of dynamic shared memory
/// (zoo::gpu::shared_memory); the arguments are copied. A pointer among them must point to device memory. Throws
/// KernelFault when the launch is beyond the device's limits; what the kernel does wrong is thrown by synchronize().
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream& stream,
            Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments),
                "launch: as many arguments as the kernel has parameters");
  std::tuple<std::remove_cv_t<Parameters>...> values{static_cast<Parameters>(std::forward<Arguments>(arguments))...};
#if defined(__CUDACC__)
  std::apply(
      [&](auto&... value) {
        std::array<void*, sizeof...(value) + 1> addresses = {const_cast<void*>(static_cast<const void*>(&value))...};
        detail::launch_cuda(reinterpret_cast<const void*>(kernel), grid, block, addresses.data(), shared_bytes, stream);
      },
      values);
#else
  const auto* function = reinterpret_cast<const void*>(kernel);
  host::check_launch(function, grid, block, shared_bytes);
  int number = 0;
  std::apply([&](const auto&... value) { (host::check_argument(function, ++number, value), ...); }, values);
  host::launch(
      function, [kernel, values] { std::apply(kernel, values); }, grid, block, shared_bytes, stream);
#endif
}

/// The same in a shape that was computed beforehand. Throws Error when it has more blocks than the device can count.
template <typename... Parameters, typename... Arguments>
void launch_shape(void (*kernel)(Parameters...), const LaunchShape& shape, Stream& stream, Arguments&&... arguments) {
  if (shape.blocks == 0) return;
  const std::uint64_t blocks = shape.blocks / shape.slices;
  if (blocks > device().grid_limit[0])
    throw Error("{} on {}: {} blocks are needed; a grid can have at most {}, so use a smaller batch", shape.kernel,
                device().name, blocks, device().grid_limit[0]);
  launch(kernel, dim3(static_cast<unsigned>(blocks), shape.slices), dim3(shape.threads), shape.shared_bytes, stream,
         std::forward<Arguments>(arguments)...);
}

}  // namespace zoo::gpu
