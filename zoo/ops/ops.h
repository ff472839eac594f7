#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "zoo/core/random.h"
#include "zoo/core/tape.h"
#include "zoo/core/tensor.h"

/// Differentiable ops on tensors. Each checks its shapes (Error says what was given and what is needed), executes at
/// once, and records itself on the tape. Elementwise ops of two tensors broadcast as NumPy does. float32 and float64
/// throughout; both operands have one dtype. Empty tensors are allowed everywhere.
namespace zoo::ops {

// Elementwise, one tensor -------------------------------------------------------------------------------------------
Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);   ///< gradient sign(x), 0 at 0
Tensor sign(const Tensor& x);  ///< -1, 0, 1; gradient 0
Tensor square(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);  ///< 1 / sqrt(x)
Tensor reciprocal(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor log_sigmoid(const Tensor& x);
Tensor softplus(const Tensor& x);   ///< log(1 + exp(x)), without overflow
Tensor relu(const Tensor& x);       ///< gradient 0 at 0
Tensor elu(const Tensor& x);        ///< x for x > 0, else exp(x) - 1
Tensor silu(const Tensor& x);       ///< x * sigmoid(x)
Tensor gelu_tanh(const Tensor& x);  ///< the tanh form, as in the public checkpoints
Tensor scale(const Tensor& x, double factor);
Tensor add_scalar(const Tensor& x, double term);
Tensor cast(const Tensor& x, DType dtype);

// Elementwise, two tensors, with broadcasting -----------------------------------------------------------------------
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, const Tensor& b);  ///< gradient to a where equal
Tensor minimum(const Tensor& a, const Tensor& b);
/// 1 where a > b, else 0, in their dtype; gradient 0.
Tensor greater(const Tensor& a, const Tensor& b);
/// a where condition is not 0, else b; no gradient to the condition.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
/// y * silu(z), of one shape: what a layer's output gate does. Fused.
Tensor silu_gate(const Tensor& y, const Tensor& z);

// Reductions --------------------------------------------------------------------------------------------------------
/// Sum over one axis, which stays with extent 1 when keep is set.
Tensor sum(const Tensor& x, int axis, bool keep = false);
Tensor sum(const Tensor& x);  ///< over all: a scalar
Tensor mean(const Tensor& x, int axis, bool keep = false);
Tensor mean(const Tensor& x);
/// Largest value along an axis; the gradient goes to the first of them.
Tensor max(const Tensor& x, int axis, bool keep = false);
/// Sums x down to `shape`, from which it could have been broadcast: the gradient of broadcast_to.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// Running sum along an axis; reverse: from the end.
Tensor cumsum(const Tensor& x, int axis, bool reverse = false);
/// Index of the (first) largest value along the last axis, i32; off the tape.
Tensor argmax(const Tensor& x);

// Shape -------------------------------------------------------------------------------------------------------------
/// Another shape of equal size, sharing memory; one extent may be -1.
Tensor reshape(const Tensor& x, const Shape& shape);
Tensor reshape(const Tensor& x, std::initializer_list<std::int64_t> dims);
/// Axes in another order: result axis i is x's axis order[i].
Tensor permute(const Tensor& x, std::initializer_list<int> order);
Tensor permute(const Tensor& x, std::span<const int> order);
/// Swaps two axes.
Tensor transpose(const Tensor& x, int axis_a = -2, int axis_b = -1);
Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// Elements [begin, end) along an axis.
Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end);
/// Parts of these extents, in order, which together are the axis. Its gradient puts theirs together in one pass, where
/// those of slices would be sums of padded tensors.
Tensors split(const Tensor& x, int axis, std::initializer_list<std::int64_t> extents);
/// Zeros before and after along an axis.
Tensor pad(const Tensor& x, int axis, std::int64_t before, std::int64_t after);
Tensor concat(std::span<const Tensor> parts, int axis);
Tensor concat(std::initializer_list<Tensor> parts, int axis);

// Indexing ----------------------------------------------------------------------------------------------------------
/// Rows of x [N, ...] by indices i32 [any shape]: result [indices' shape, ...]. Throws Error for an index out of range.
Tensor gather_rows(const Tensor& x, const Tensor& indices);
/// The transpose: a result [n, ...] of zeros, with x [indices' shape, ...] added at the indices, in order.
Tensor scatter_add_rows(const Tensor& x, const Tensor& indices, std::int64_t n);

// Products ----------------------------------------------------------------------------------------------------------
/// a [..., m, k] times b [..., k, n], either read transposed; leading axes equal, or b of rank 2 (then they fold into
/// m), or a of rank 2 as constant over b's.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);
/// x [..., in] times weight [out, in] transposed, plus bias [out] when defined. Fused.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

// Normalisation, over the last axis; fused --------------------------------------------------------------------------
/// (x - mean) / sqrt(variance + epsilon) * weight + bias, biased variance; weight and bias may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon);
/// x / sqrt(mean(x^2) + epsilon) * weight; weight may be undefined.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon);
Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);

// Loss --------------------------------------------------------------------------------------------------------------
/// Cross-entropy of logits [R,V] with labels i32 [R], summed over rows: a scalar. Fused.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels);
/// The same with logits = linear(hidden [R,D], weight [V,D], bias [V] or undefined), formed a few rows at a time and
/// never kept. Fused.
Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias, const Tensor& labels);

// Regularisation and positions --------------------------------------------------------------------------------------
/// Zeroes elements with the given probability and divides the others by its complement; element i of the flattened x is
/// decided by number `first + i` of the key's stream, so that the mask does not depend on how a batch is cut.
Tensor dropout(const Tensor& x, double probability, RandomKey key, std::uint64_t first = 0);
/// Rotary positions on x [B,T,H,d], d even: channel pair i of position p turns by p * base^(-2i/d). Pairs are
/// (i, i + d/2) (rotate-half), or (2i, 2i+1) when interleaved. Position of row t: first + t, or (first + t) % period
/// when period > 0. Fused.
struct RopeOptions {
  double base = 10000;
  bool interleaved = false;
  std::int64_t first = 0;
  std::int64_t period = 0;
};
Tensor rope(const Tensor& x, const RopeOptions& options);
/// The same where row r of x [R,H,d] has position positions[r] (i32).
Tensor rope(const Tensor& x, const Tensor& positions, const RopeOptions& options);

}  // namespace zoo::ops

// The arithmetic operators stand where Tensor does, so that they are found without naming ops.
namespace zoo {

inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return ops::add(a, b);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return ops::sub(a, b);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return ops::mul(a, b);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return ops::div(a, b);
}
inline Tensor operator-(const Tensor& x) {
  return ops::neg(x);
}
inline Tensor operator*(const Tensor& x, double factor) {
  return ops::scale(x, factor);
}
inline Tensor operator*(double factor, const Tensor& x) {
  return ops::scale(x, factor);
}
inline Tensor operator/(const Tensor& x, double divisor) {
  return ops::scale(x, 1 / divisor);
}
inline Tensor operator+(const Tensor& x, double term) {
  return ops::add_scalar(x, term);
}
inline Tensor operator-(const Tensor& x, double term) {
  return ops::add_scalar(x, -term);
}
inline Tensor operator-(double term, const Tensor& x) {
  return ops::add_scalar(ops::neg(x), term);
}
inline Tensor operator+(double term, const Tensor& x) {
  return ops::add_scalar(x, term);
}

}  // namespace zoo
