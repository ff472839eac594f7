#include "zoo/gpu/bfloat16.h"
#include "zoo/gpu/bfloat16_copies.h"
#include "zoo/gpu/each.h"

namespace zoo::gpu {

namespace {

struct Round {
  const float* x;
  std::uint16_t* result;
  __device__ void operator()(int i) const { result[i] = to_bfloat16(x[i]).bits; }
};

struct Widen {
  const std::uint16_t* x;
  float* result;
  __device__ void operator()(int i) const { result[i] = to_float(bfloat16{x[i]}); }
};

}  // namespace

void to_bfloat16(const float* x, std::uint16_t* result, std::int64_t count, Stream& stream) {
  launch_each("bfloat16", count, Round{x, result}, stream);
}

void from_bfloat16(const std::uint16_t* x, float* result, std::int64_t count, Stream& stream) {
  launch_each("bfloat16", count, Widen{x, result}, stream);
}

}  // namespace zoo::gpu
