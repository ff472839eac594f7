#include "zoo/gpu/adamw.h"
#include "zoo/gpu/each.h"

namespace zoo::gpu {

namespace {

// The same roundings as the CPU's.
struct AdamW {
  cpu::AdamWFactors factors;
  const float* gradient;
  float* value;
  float* moment1;
  float* moment2;

  __device__ void operator()(int i) const {
    const float g = gradient[i] * factors.gradient_scale;
    const float m = fmaf(factors.beta1, moment1[i], (1 - factors.beta1) * g);
    const float v = fmaf(factors.beta2, moment2[i], (1 - factors.beta2) * g * g);
    const float divisor = fmaf(sqrtf(v), factors.inverse_root, factors.epsilon);
    value[i] = fmaf(-factors.step, m / divisor, value[i] * factors.shrink);
    moment1[i] = m;
    moment2[i] = v;
  }
};

}  // namespace

void adamw(const cpu::AdamWFactors& factors, const float* gradient, float* value, float* moment1, float* moment2,
           std::int64_t count, Stream& stream) {
  launch_each("adamw", count, AdamW{factors, gradient, value, moment1, moment2}, stream);
}

}  // namespace zoo::gpu
