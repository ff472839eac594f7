#include "zoo/cpu/l1_distance.h"

#include "zoo/core/error.h"
#include "zoo/ops/dtypes.h"
#include "zoo/ops/families.h"

namespace zoo::ops {

namespace {

// Inputs: q, k.
class L1Distance final : public FusedOp {
 public:
  explicit L1Distance(const cpu::DistanceSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "l1_distance"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    return with_real_type(inputs[0].dtype(), name(), [&](auto zero) -> Tensors {
      using T = decltype(zero);
      Tensor distances = Tensor::empty({sizes_.batch, sizes_.heads, sizes_.queries, sizes_.keys}, dtype_of<T>);
      cpu::l1_distance_forward(sizes_, inputs[0].data<T>(), inputs[1].data<T>(), distances.data<T>());
      return {distances};
    });
  }

  Tensors backward(const Executed& executed) override {
    return with_real_type(executed.inputs[0].dtype(), name(), [&](auto zero) {
      using T = decltype(zero);
      const Tensor &q = executed.inputs[0], &k = executed.inputs[1];
      Tensors gradients = {Tensor::empty(q.shape(), dtype_of<T>), Tensor::empty(k.shape(), dtype_of<T>)};
      const Tensor gradient = executed.output_grad(0);
      cpu::l1_distance_backward(sizes_, q.data<T>(), k.data<T>(), gradient.data<T>(), gradients[0].data<T>(),
                                gradients[1].data<T>());
      for (std::size_t i = 0; i < 2; ++i) {
        if (!executed.needs(i)) gradients[i] = {};
      }
      return gradients;
    });
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &q = inputs[0], &k = inputs[1];
    const std::int64_t B = q.dim(0), Tq = q.dim(1), H = q.dim(2), d = q.dim(3), Tk = k.dim(1);
    const Tensor difference = reshape(q, {B, Tq, 1, H, d}) - reshape(k, {B, 1, Tk, H, d});
    return {permute(sum(abs(difference), -1), {0, 3, 1, 2})};
  }

 private:
  cpu::DistanceSizes sizes_;
};

}  // namespace

Tensor l1_distance(const Tensor& q, const Tensor& k) {
  if (q.rank() != 4 || k.rank() != 4 || q.shape().with(1, 0) != k.shape().with(1, 0) || q.dtype() != k.dtype()) {
    throw Error("l1_distance of q {}, k {}: needs q [B,Tq,H,d] and k [B,Tk,H,d], in one dtype", q.shape().str(),
                k.shape().str());
  }
  return apply_one(std::make_unique<L1Distance>(cpu::DistanceSizes{q.dim(0), q.dim(1), k.dim(1), q.dim(2), q.dim(3)}),
                   {q, k});
}

}  // namespace zoo::ops
