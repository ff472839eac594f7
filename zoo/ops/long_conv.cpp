#include "zoo/gpu/long_conv.h"

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/cpu/causal_conv.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/families.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

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
  explicit LongConv(const cpu::LongConvSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "long_conv"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &filter = inputs[1];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        Tensor workspace = Tensor::empty({gpu::long_conv_workspace(sizes_, /*backward=*/false)});
        gpu::long_conv_forward(sizes_, at(x), at(filter), at(y), at(workspace), at.stream());
      } else {
        cpu::long_conv_forward(sizes_, at(x), at(filter), at(y));
      }
    });
    count_flops(flops());
    return {y};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor &x = executed.inputs[0], &filter = executed.inputs[1];
    Tensors gradients(2);
    if (executed.needs(0)) gradients[0] = Tensor::empty(x.shape(), x.dtype());
    // Taps beyond the sequence met nothing.
    if (executed.needs(1)) gradients[1] = Tensor::zeros(filter.shape(), x.dtype());
    const Tensor dy = executed.output_grad(0);
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        Tensor workspace = Tensor::empty({gpu::long_conv_workspace(sizes_, /*backward=*/true)});
        gpu::long_conv_backward(sizes_, at(x), at(filter), at(dy), at.if_defined(gradients[0]),
                                at.if_defined(gradients[1]), at(workspace), at.stream());
      } else {
        cpu::long_conv_backward(sizes_, at(x), at(filter), at(dy), at.if_defined(gradients[0]),
                                at.if_defined(gradients[1]));
      }
    });
    count_flops(2 * flops());
    return gradients;
  }

  // y[:, c] = F_c x[:, c] with the Toeplitz matrix F_c[t, s] = filter[t-s, c].
  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &x = inputs[0], &filter = inputs[1];
    const std::int64_t T = x.dim(1), C = x.dim(2);
    const Lags lag = lags(T, x.dtype());
    const Tensor toeplitz = reshape(gather_rows(filter, lag.indices), {T, T, C}) * lag.mask;
    const Tensor y = matmul(permute(toeplitz, {2, 0, 1}), permute(x, {2, 1, 0}));  // [C,T,B]
    return {permute(y, {2, 1, 0})};
  }

 private:
  // The causal half.
  double flops() const {
    return static_cast<double>(sizes_.batch * sizes_.channels * sizes_.length * (sizes_.length + 1));
  }

  cpu::LongConvSizes sizes_;
};

}  // namespace

Tensor long_conv(const Tensor& x, const Tensor& filter) {
  if (x.rank() != 3 || filter.rank() != 2 || filter.dim(1) != x.dim(2) || filter.dim(0) < x.dim(1) ||
      filter.dtype() != x.dtype()) {
    throw Error("long_conv of x {}, filter {}: needs x [B,T,C], filter [L,C] with L >= T, in one dtype",
                x.shape().str(), filter.shape().str());
  }
  return apply_one(std::make_unique<LongConv>(cpu::LongConvSizes{x.dim(0), x.dim(1), x.dim(2)}), {x, filter});
}

namespace {

OpCase conv_case(std::string name, std::int64_t B, std::int64_t T, std::int64_t C, std::int64_t L) {
  return {.name = std::move(name),
          .inputs = {{.shape = {B, T, C}}, {.shape = {L, C}}},
          .call = [](std::span<const Tensor> inputs) { return Tensors{long_conv(inputs[0], inputs[1])}; }};
}

const OpRegistration registration(
    {.name = "long_conv",
     .cases = {conv_case("small", 2, 5, 3, 5), conv_case("a longer filter", 3, 4, 2, 9),
               conv_case("more than a tile", 2, 70, 2, 70), conv_case("more channels than a block", 2, 9, 19, 9),
               conv_case("many sequences", 66, 9, 2, 9), conv_case("one step", 2, 1, 4, 3),
               conv_case("no sequences", 0, 3, 4, 3), conv_case("no steps", 2, 0, 4, 3)}});

}  // namespace

}  // namespace zoo::ops
