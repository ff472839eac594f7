// What stands in a build for a GPU where cuFFT was not found: long_conv does without.
#include "zoo/core/error.h"
#include "zoo/gpu/fft.h"

namespace zoo::gpu {

namespace {

[[noreturn]] void refuse() {
  throw Error("this zoo is built without cuFFT; install the CUDA Toolkit's cuFFT, and build it again");
}

}  // namespace

bool has_fft() {
  return false;
}
std::int64_t fft_workspace(const FftShape& /*shape*/) {
  refuse();
}
void fft_forward(const FftShape& /*shape*/, float* /*rows*/, float* /*workspace*/, Stream& /*stream*/) {
  refuse();
}
void fft_inverse(const FftShape& /*shape*/, float* /*rows*/, float* /*workspace*/, Stream& /*stream*/) {
  refuse();
}

}  // namespace zoo::gpu
