#pragma once

// What the tests here share. The functions *_traffic say what kernels move through shared memory; the tests count on
// the host executor, in kernels that are compiled without optimisation, access by access, what they do there.

#include <utility>
#include <vector>

#include "counter.h"
#include "gpu_testing.h"
#include "zoo/gpu/precision.h"

namespace zoo::gpu {

/// In which each number that a product needs is read once.
inline constexpr Precision tf32 = Precision::tf32;

/// Device memory with small numbers, given out piece by piece.
class Memory {
 public:
  explicit Memory(Stream& stream) : stream_(&stream) {}
  float* take(std::int64_t count) {
    const std::vector<float> values(static_cast<std::size_t>(count), -0.01F);
    buffers_.push_back(to_device(std::span(values), *stream_));
    return buffers_.back().data();
  }

 private:
  Stream* stream_;
  std::vector<DeviceBuffer<float>> buffers_;
};

/// What kernels do while run() gives them to a stream.
template <typename Run>
double counted(Stream& stream, const Run& run, std::vector<std::pair<std::size_t, std::size_t>> ignored = {}) {
  stream.synchronize();
  reset_shared_count(std::move(ignored));
  run();
  stream.synchronize();
  return shared_count();
}

}  // namespace zoo::gpu
