#pragma once

#include <array>
#include <cstddef>

namespace zoo {

/// The GPUs that calculations are made for: an H100 and an A100.
inline constexpr std::size_t modelled_gpus = 2;
/// Of each of them, bytes that kernels would move through the shared memory of their blocks.
using SharedBytes = std::array<double, modelled_gpus>;

/// While one lives, the ops of its thread count what their kernels for GPUs would move through shared memory, wherever
/// they are computed (zoo/gpu/traffic_model.h).
class CountsSharedTraffic {
 public:
  CountsSharedTraffic();
  ~CountsSharedTraffic();
  CountsSharedTraffic(const CountsSharedTraffic&) = delete;
  CountsSharedTraffic& operator=(const CountsSharedTraffic&) = delete;

 private:
  bool before_;
};
bool counts_shared_traffic();

/// Adds to this thread's count.
void count_shared_bytes(const SharedBytes& bytes);
/// This thread's count so far.
SharedBytes shared_bytes_counted();

}  // namespace zoo
