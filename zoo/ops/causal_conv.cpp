#include "zoo/core/error.h"
#include "zoo/ops/families.h"

namespace zoo::ops {

namespace {

// Inputs: x, weight, bias or undefined, state. Outputs: y and the next state.
class CausalConv final : public FusedOp {
 public:
  std::string_view name() const override { return "causal_conv"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &weight = inputs[1], &bias = inputs[2], &state = inputs[3];
    const std::int64_t T = x.dim(1), K = weight.dim(1);
    const Tensor padded = concat({state, x}, 1);
    Tensor y;
    for (std::int64_t tap = 0; tap < K; ++tap) {
      const Tensor term = slice(padded, 1, tap, tap + T) * reshape(slice(weight, 1, tap, tap + 1), {-1});
      y = y.defined() ? y + term : term;
    }
    if (bias.defined()) y = y + bias;
    return {y, slice(padded, 1, T, T + K - 1)};
  }
};

// lag[t][s] = t - s for s <= t, and 0 with a mask of 0 above the diagonal.
struct Lags {
  Tensor indices;  // i32 [T*T]
  Tensor mask;     // [T,T,1]
};

Lags lags(std::int64_t T, DType dtype) {
  Lags result{Tensor::zeros({T * T}, DType::i32), Tensor::zeros({T, T, 1}, DType::f64)};
  for (std::int64_t t = 0; t < T; ++t) {
    for (std::int64_t s = 0; s <= t; ++s) {
      result.indices.data<std::int32_t>()[t * T + s] = static_cast<std::int32_t>(t - s);
      result.mask.data<double>()[t * T + s] = 1;
    }
  }
  result.mask = result.mask.to(dtype);
  return result;
}

// Inputs: x, filter.
class LongConv final : public FusedOp {
 public:
  std::string_view name() const override { return "long_conv"; }

  // y[:, c] = F_c x[:, c] with the Toeplitz matrix F_c[t, s] = filter[t-s, c].
  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &filter = inputs[1];
    const std::int64_t T = x.dim(1), C = x.dim(2);
    const Lags lag = lags(T, x.dtype());
    const Tensor toeplitz = reshape(gather_rows(filter, lag.indices), {T, T, C}) * lag.mask;
    const Tensor y = matmul(permute(toeplitz, {2, 0, 1}), permute(x, {2, 1, 0}));  // [C,T,B]
    return {permute(y, {2, 1, 0})};
  }
};

}  // namespace

Convolution causal_conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& state) {
  const bool fits = x.rank() == 3 && weight.rank() == 2 && weight.dim(0) == x.dim(2) && weight.dim(1) >= 1 &&
                    (!bias.defined() || (bias.shape() == Shape{x.dim(2)} && bias.dtype() == x.dtype())) &&
                    state.shape() == Shape{x.dim(0), weight.dim(1) - 1, x.dim(2)} && weight.dtype() == x.dtype() &&
                    state.dtype() == x.dtype();
  if (!fits) {
    throw Error(
        "causal_conv of x {}, weight {}, bias {}, state {}: needs x [B,T,C], weight [C,K], bias [C] or none, "
        "state [B,K-1,C], in one dtype",
        x.shape().str(), weight.shape().str(), bias.defined() ? bias.shape().str() : "none", state.shape().str());
  }
  const Tensor inputs[] = {x, weight, bias, state};
  const Tensors outputs = zoo::apply(std::make_unique<CausalConv>(), inputs);
  return {outputs[0], outputs[1]};
}

Tensor long_conv(const Tensor& x, const Tensor& filter) {
  if (x.rank() != 3 || filter.rank() != 2 || filter.dim(1) != x.dim(2) || filter.dim(0) < x.dim(1) ||
      filter.dtype() != x.dtype()) {
    throw Error("long_conv of x {}, filter {}: needs x [B,T,C], filter [L,C] with L >= T, in one dtype",
                x.shape().str(), filter.shape().str());
  }
  return apply_one(std::make_unique<LongConv>(), {x, filter});
}

}  // namespace zoo::ops
