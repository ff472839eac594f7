#include "zoo/gpu/each.h"
#include "zoo/gpu/elementwise_rules.h"
#include "zoo/gpu/silu_gate.h"

namespace zoo::gpu {

namespace {

struct Gate {
  const float* y;
  const float* z;
  float* result;
  __device__ void operator()(int i) const { result[i] = y[i] * rules::Silu::value(z[i]); }
};

struct GateBackward {
  const float* y;
  const float* z;
  const float* grad;
  float* dy;
  float* dz;
  __device__ void operator()(int i) const {
    const float g = grad[i];
    const float gate = z[i];
    const float value = y[i];
    if (dy != nullptr) dy[i] = g * rules::Silu::value(gate);
    if (dz != nullptr) dz[i] = rules::Silu::gradient(gate, g * value);
  }
};

}  // namespace

void silu_gate(const float* y, const float* z, float* result, std::int64_t count, Stream& stream) {
  launch_each("silu_gate", count, Gate{y, z, result}, stream);
}

void silu_gate_backward(const float* y, const float* z, const float* grad, float* dy, float* dz, std::int64_t count,
                        Stream& stream) {
  launch_each("silu_gate", count, GateBackward{y, z, grad, dy, dz}, stream);
}

}  // namespace zoo::gpu
