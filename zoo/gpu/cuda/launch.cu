#include "zoo/gpu/cuda/state.h"
#include "zoo/gpu/launch.h"

namespace zoo::gpu {

void detail::launch_cuda(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared_bytes,
                         Stream& stream) {
  constexpr std::size_t without_asking = 48 * 1024;
  if (shared_bytes > without_asking)
    cuda::check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
        "asking for shared memory");
  const cudaError_t status = cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream.state().stream);
  if (status == cudaSuccess) return;
  const char* name = "a kernel";
  cudaFuncGetName(&name, kernel);
  cuda::check(status, name);
}

}  // namespace zoo::gpu
