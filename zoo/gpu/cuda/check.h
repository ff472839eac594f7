#pragma once

#include <cuda_runtime.h>

namespace zoo::gpu::cuda {

/// Throws Error naming what was tried, the device and CUDA's reason, unless `status` is success. A fault of a kernel,
/// after which the device can no longer be used by this process, is a KernelFault.
void check(cudaError_t status, const char* what);

}  // namespace zoo::gpu::cuda
