#include "zoo/gpu/device.h"

#include "zoo/gpu/cuda/check.h"
#include "zoo/gpu/device_model.h"
#include "zoo/gpu/fault.h"
#include "zoo/gpu/rank_devices.h"

namespace zoo::gpu {

namespace {

// On the thread that asks first, which is the one that the engine's kernels are given from.
Device own_device() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0;
    int runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0) throw Error("no NVIDIA driver was found{}; install one, or use --device cpu", place_of_rank());
    throw Error(
        "the NVIDIA driver{} is too old: it supports CUDA {}.{}, and this program was built with {}.{}; install a "
        "newer driver, or use --device cpu",
        place_of_rank(), driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  if (status != cudaSuccess || count == 0)
    throw Error("no NVIDIA GPU was found{} ({}); use --device cpu", place_of_rank(), cudaGetErrorString(status));
  // The processes of a job share out the machine's devices.
  const int own = local_rank() % count;
  cuda::check(cudaSetDevice(own), "choosing the GPU");
  cudaDeviceProp found;
  cuda::check(cudaGetDeviceProperties(&found, own), "asking for the GPU's properties");
  Device device;
  device.name = found.name;
  device.compute_major = found.major;
  device.compute_minor = found.minor;
  device.memory_bytes = found.totalGlobalMem;
  device.l2_bytes = static_cast<std::size_t>(found.l2CacheSize);
  device.multiprocessors = static_cast<unsigned>(found.multiProcessorCount);
  device.threads_per_multiprocessor = static_cast<unsigned>(found.maxThreadsPerMultiProcessor);
  device.threads_per_block = static_cast<unsigned>(found.maxThreadsPerBlock);
  for (int axis = 0; axis < 3; ++axis) {
    device.block_limit[axis] = static_cast<unsigned>(found.maxThreadsDim[axis]);
    device.grid_limit[axis] = static_cast<unsigned>(found.maxGridSize[axis]);
  }
  device.shared_bytes_per_block = found.sharedMemPerBlockOptin;
  device.shared_bytes_per_multiprocessor = found.sharedMemPerMultiprocessor;
  device.registers_per_multiprocessor = static_cast<unsigned>(found.regsPerMultiprocessor);
  if (device.compute_major < 8)
    throw Error("{} has compute capability {}.{}; zoo's kernels need 8.0 or above (use --device cpu)", device.name,
                device.compute_major, device.compute_minor);
  return device;
}

bool is_kernel_fault(cudaError_t status) {
  return status == cudaErrorIllegalAddress || status == cudaErrorMisalignedAddress ||
         status == cudaErrorLaunchFailure || status == cudaErrorInvalidAddressSpace ||
         status == cudaErrorIllegalInstruction || status == cudaErrorHardwareStackError ||
         status == cudaErrorLaunchTimeout || status == cudaErrorAssert;
}

}  // namespace

const Device& device() {
  if (const Device* modelled = detail::modelled_device()) return *modelled;
  static const Device found = own_device();
  return found;
}

void cuda::check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  if (is_kernel_fault(status))
    throw KernelFault(
        "a kernel failed on {}, found when {}: {}; build with -DZOO_GPU=EMULATED to see where, or run under "
        "compute-sanitizer",
        device().name, what, cudaGetErrorString(status));
  throw Error("{} failed: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

}  // namespace zoo::gpu
