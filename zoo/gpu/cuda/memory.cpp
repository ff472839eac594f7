#include "zoo/gpu/memory.h"

#include "zoo/core/error.h"
#include "zoo/gpu/cuda/state.h"
#include "zoo/gpu/device.h"

namespace zoo::gpu {

namespace {

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, Stream& stream) {
  if (bytes == 0) return;
  cuda::check(cudaMemcpyAsync(to, from, bytes, kind, stream.state().stream), "copying");
}

// What an allocation of CUDA gave, where it did not fail for want of memory.
void* checked(cudaError_t status, void* memory, std::size_t bytes, const char* file, unsigned line) {
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // a failed allocation leaves the device in order: the error must not meet a later call
    std::size_t free = 0;
    std::size_t total = 0;
    cudaMemGetInfo(&free, &total);
    throw Error("out of memory on {}: {} bytes were asked for at {}:{}, {} of {} are free", device().name, bytes, file,
                line, free, total);
  }
  cuda::check(status, "allocating device memory");
  return memory;
}

}  // namespace

void* device_allocate(std::size_t bytes, const char* file, unsigned line) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  return checked(status, memory, bytes, file, line);
}

void* unified_allocate(std::size_t bytes, const char* file, unsigned line) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t status = cudaMallocManaged(&memory, bytes);
  return checked(status, memory, bytes, file, line);
}

void device_free(void* memory) {
  cuda::check(cudaFree(memory), "freeing device memory");
}

void detail::device_free_later(void* memory) noexcept {
  cudaFree(memory);
}

void* pinned_allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  cuda::check(cudaMallocHost(&memory, bytes), "allocating pinned host memory");
  return memory;
}

void pinned_free(void* memory) noexcept {
  cudaFreeHost(memory);
}

void copy_to_device_async(void* device, const void* pinned, std::size_t bytes, Stream& stream) {
  copy(device, pinned, bytes, cudaMemcpyHostToDevice, stream);
}

void copy_to_host_async(void* pinned, const void* device, std::size_t bytes, Stream& stream) {
  copy(pinned, device, bytes, cudaMemcpyDeviceToHost, stream);
}

void copy_on_device_async(void* to, const void* from, std::size_t bytes, Stream& stream) {
  copy(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

void fill_async(void* device, unsigned char value, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  cuda::check(cudaMemsetAsync(device, value, bytes, stream.state().stream), "filling device memory");
}

}  // namespace zoo::gpu
