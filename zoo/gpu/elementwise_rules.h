#pragma once

#include <cmath>

#include "zoo/cpu/elementwise.h"
#include "zoo/gpu/kernel.h"

// The elementwise functions of one argument, as zoo/cpu/elementwise_rules-inl.h has them: each a value, and a gradient
// for g, that of the value, given x, or y = f(x) where cpu::derivative_reads_value says so.

namespace zoo::gpu::rules {

// No exponential of a number above 0 is formed.
__device__ __forceinline__ float sigmoid(float x) {
  const float small = expf(-fabsf(x));
  return (x < 0 ? small : 1.0F) / (1 + small);
}
__device__ __forceinline__ float softplus(float x) {
  return fmaxf(x, 0.0F) + log1pf(expf(-fabsf(x)));
}
// 2u = sqrt(8/pi) (x + 0.044715 x^3), of which gelu_tanh is x sigmoid; and its derivative.
__device__ __forceinline__ float gelu_argument(float x) {
  return 1.5957691216F * (x * fmaf(0.044715F * x, x, 1.0F));
}
__device__ __forceinline__ float gelu_slope(float x) {
  return 1.5957691216F * fmaf(0.134145F * x, x, 1.0F);
}

struct Neg {
  __device__ static float value(float x) { return -x; }
  __device__ static float gradient(float, float g) { return -g; }
};

struct Abs {
  __device__ static float value(float x) { return fabsf(x); }
  __device__ static float gradient(float x, float g) { return x > 0 ? g : x < 0 ? -g : g * x; }
};

struct Sign {
  __device__ static float value(float x) { return x > 0 ? 1.0F : x < 0 ? -1.0F : x; }
  __device__ static float gradient(float, float) { return 0; }
};

struct Square {
  __device__ static float value(float x) { return x * x; }
  __device__ static float gradient(float x, float g) { return g * (x + x); }
};

struct Sqrt {
  __device__ static float value(float x) { return sqrtf(x); }
  __device__ static float gradient(float y, float g) { return g * 0.5F / y; }
};

struct Rsqrt {
  __device__ static float value(float x) { return 1 / sqrtf(x); }
  __device__ static float gradient(float y, float g) { return g * -0.5F * (y * y * y); }
};

struct Reciprocal {
  __device__ static float value(float x) { return 1 / x; }
  __device__ static float gradient(float y, float g) { return -g * (y * y); }
};

struct Exp {
  __device__ static float value(float x) { return expf(x); }
  __device__ static float gradient(float y, float g) { return g * y; }
};

struct Log {
  __device__ static float value(float x) { return logf(x); }
  __device__ static float gradient(float x, float g) { return g / x; }
};

struct Sin {
  __device__ static float value(float x) { return sinf(x); }
  __device__ static float gradient(float x, float g) { return g * cosf(x); }
};

struct Cos {
  __device__ static float value(float x) { return cosf(x); }
  __device__ static float gradient(float x, float g) { return -g * sinf(x); }
};

struct Tanh {
  __device__ static float value(float x) { return tanhf(x); }
  __device__ static float gradient(float y, float g) { return g * fmaf(-y, y, 1.0F); }
};

struct Sigmoid {
  __device__ static float value(float x) { return sigmoid(x); }
  __device__ static float gradient(float y, float g) { return g * (y * (1 - y)); }
};

struct LogSigmoid {
  __device__ static float value(float x) { return -softplus(-x); }
  __device__ static float gradient(float x, float g) { return g * sigmoid(-x); }
};

struct SoftPlus {
  __device__ static float value(float x) { return softplus(x); }
  __device__ static float gradient(float x, float g) { return g * sigmoid(x); }
};

struct Relu {
  __device__ static float value(float x) { return x < 0 ? 0.0F : x; }
  __device__ static float gradient(float x, float g) { return x > 0 ? g : 0.0F; }
};

struct Elu {
  __device__ static float value(float x) { return x > 0 ? x : expm1f(x); }
  __device__ static float gradient(float x, float g) { return g * expf(x < 0 ? x : 0.0F); }
};

struct Silu {
  __device__ static float value(float x) { return x * sigmoid(x); }
  __device__ static float gradient(float x, float g) { return g * (sigmoid(x) * fmaf(x, sigmoid(-x), 1.0F)); }
};

struct GeluTanh {
  __device__ static float value(float x) { return x * sigmoid(gelu_argument(x)); }
  __device__ static float gradient(float x, float g) {
    return g * (sigmoid(gelu_argument(x)) * fmaf(x * gelu_slope(x), sigmoid(-gelu_argument(x)), 1.0F));
  }
};

/// Calls body(Rule()) for the rule of a function.
template <typename Body>
void with_rule(cpu::Unary kind, const Body& body) {
  switch (kind) {
    case cpu::Unary::neg:
      return body(Neg());
    case cpu::Unary::abs:
      return body(Abs());
    case cpu::Unary::sign:
      return body(Sign());
    case cpu::Unary::square:
      return body(Square());
    case cpu::Unary::sqrt:
      return body(Sqrt());
    case cpu::Unary::rsqrt:
      return body(Rsqrt());
    case cpu::Unary::reciprocal:
      return body(Reciprocal());
    case cpu::Unary::exp:
      return body(Exp());
    case cpu::Unary::log:
      return body(Log());
    case cpu::Unary::sin:
      return body(Sin());
    case cpu::Unary::cos:
      return body(Cos());
    case cpu::Unary::tanh:
      return body(Tanh());
    case cpu::Unary::sigmoid:
      return body(Sigmoid());
    case cpu::Unary::log_sigmoid:
      return body(LogSigmoid());
    case cpu::Unary::softplus:
      return body(SoftPlus());
    case cpu::Unary::relu:
      return body(Relu());
    case cpu::Unary::elu:
      return body(Elu());
    case cpu::Unary::silu:
      return body(Silu());
    case cpu::Unary::gelu_tanh:
      return body(GeluTanh());
  }
}

}  // namespace zoo::gpu::rules
