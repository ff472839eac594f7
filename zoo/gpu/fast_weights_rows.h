#pragma once

// Row by row, each by a whole warp: the norms and the inner loss of the fast weights' kernels, with their derivatives;
// and the GELU's. As zoo/cpu/fast_weights_rows-inl.h.

#include "zoo/gpu/elementwise_rules.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu::fast {

/// A head's LayerNorm.
struct HeadNorm {
  const float* weight;
  const float* bias;
  int count;
  float epsilon;
};

/// Calls body(column) for this lane's columns.
template <typename Body>
__device__ __forceinline__ void for_columns(int count, const Body& body) {
  for (int c = static_cast<int>(threadIdx.x) % 32; c < count; c += 32) body(c);
}

/// x^ in place of x; returns 1 / sigma.
__device__ __forceinline__ float normalise_row(const HeadNorm& norm, float* x) {
  const auto count = static_cast<float>(norm.count);
  float total = 0;
  for_columns(norm.count, [&](int c) { total += x[c]; });
  const float mean = warp_sum(total) / count;
  float squares = 0;
  for_columns(norm.count, [&](int c) {
    x[c] -= mean;
    squares = fmaf(x[c], x[c], squares);
  });
  const float inverse = 1 / sqrtf(warp_sum(squares) / count + norm.epsilon);
  for_columns(norm.count, [&](int c) { x[c] *= inverse; });
  return inverse;
}

/// weight x^ + bias - (v - k).
__device__ __forceinline__ float error_at(const HeadNorm& norm, const float* x, const float* k, const float* v, int c) {
  return fmaf(norm.weight[c], x[c], norm.bias[c]) - (v[c] - k[c]);
}

/// For x^ and 1 / sigma of z: the gradient by z of 1/2 |weight x^ + bias - (v - k)|^2.
__device__ __forceinline__ void loss_gradient_row(const HeadNorm& norm, const float* x, float inverse, const float* k,
                                                  const float* v, float* gradient) {
  const auto count = static_cast<float>(norm.count);
  float sum = 0, product = 0;
  for_columns(norm.count, [&](int c) {
    const float g = norm.weight[c] * error_at(norm, x, k, v, c);
    sum += g;
    product = fmaf(g, x[c], product);
    gradient[c] = g;
  });
  const float mean = warp_sum(sum) / count, along = warp_sum(product) / count;
  for_columns(norm.count, [&](int c) { gradient[c] = fmaf(-x[c], along, gradient[c] - mean) * inverse; });
}

/// The loss gradient's own backward pass. With G that gradient and c the one by it: in place of c the one by z, de that
/// by the error, and by_weight that by the norm's weight.
__device__ __forceinline__ void loss_gradient_backward_row(const HeadNorm& norm, const float* x, float inverse,
                                                           const float* k, const float* v, const float* gradient,
                                                           float* c, float* de, float* by_weight) {
  const auto count = static_cast<float>(norm.count);
  // e the error, g = weight e, G = (g - mean g - x^ mean(g x^)) / sigma.
  float c_sum = 0, c_x = 0, c_gradient = 0, g_x = 0;
  for_columns(norm.count, [&](int i) {
    c_sum += c[i];
    c_x = fmaf(c[i], x[i], c_x);
    c_gradient = fmaf(c[i], gradient[i], c_gradient);
    g_x = fmaf(norm.weight[i] * error_at(norm, x, k, v, i), x[i], g_x);
  });
  const float c_mean = warp_sum(c_sum) / count * inverse, c_along = warp_sum(c_x) / count * inverse;
  const float g_along = warp_sum(g_x) / count, by_inverse = warp_sum(c_gradient) / count;
  float sum = 0, along = 0;
  for_columns(norm.count, [&](int i) {
    const float weight = norm.weight[i], e = error_at(norm, x, k, v, i);
    const float scaled = c[i] * inverse;
    const float dg = fmaf(-x[i], c_along, scaled - c_mean);
    de[i] = weight * dg;
    by_weight[i] = fmaf(de[i], x[i], dg * e);
    const float dx = fmaf(-weight * e, c_along, fmaf(-scaled, g_along, de[i] * weight));
    sum += dx;
    along = fmaf(dx, x[i], along);
    c[i] = dx;
  });
  const float mean = warp_sum(sum) / count, radial = warp_sum(along) / count + by_inverse;
  for_columns(norm.count, [&](int i) { c[i] = fmaf(-x[i], radial, c[i] - mean) * inverse; });
}

/// The gradient by what was normalised, for dz by weight x^ + bias.
__device__ __forceinline__ void read_out_backward_row(const HeadNorm& norm, const float* x, float inverse,
                                                      const float* dz, float* dy) {
  const auto count = static_cast<float>(norm.count);
  float sum = 0, along = 0;
  for_columns(norm.count, [&](int c) {
    dy[c] = dz[c] * norm.weight[c];
    sum += dy[c];
    along = fmaf(dy[c], x[c], along);
  });
  const float mean = warp_sum(sum) / count, radial = warp_sum(along) / count;
  for_columns(norm.count, [&](int c) { dy[c] = fmaf(-x[c], radial, dy[c] - mean) * inverse; });
}

/// The tanh-GELU x s with s = sigmoid(2u), and its derivatives.
struct Gelu {
  float value, slope, curvature;

  __device__ explicit Gelu(float x) {
    // From 30 on, s is 1 or 0 to the last bit; powers of a larger x would overflow.
    const float near = x < -30 ? -30.0F : x > 30 ? 30.0F : x;
    const float s = rules::sigmoid(rules::gelu_argument(near));
    const float u_slope = rules::gelu_slope(near);
    const float u_curvature = near * (0.26829F * 1.5957691216F);
    const float s_slope = s * (1 - s);
    const float first = s_slope * u_slope;
    const float second = fmaf(first * u_slope, 1 - (s + s), s_slope * u_curvature);
    // Not -infinity times 0.
    value = fmaxf(x, -3.402823466e38F) * s;
    if (x != x) value = x;
    slope = fmaf(near, first, s);
    curvature = fmaf(near, second, first + first);
  }
};

}  // namespace zoo::gpu::fast
