#include "zoo/core/error.h"
#include "zoo/ops/families.h"

namespace zoo::ops {

namespace {

// Inputs: q, k.
class L1Distance final : public FusedOp {
 public:
  std::string_view name() const override { return "l1_distance"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &q = inputs[0], &k = inputs[1];
    const std::int64_t B = q.dim(0), Tq = q.dim(1), H = q.dim(2), d = q.dim(3), Tk = k.dim(1);
    const Tensor difference = reshape(q, {B, Tq, 1, H, d}) - reshape(k, {B, 1, Tk, H, d});
    return {permute(sum(abs(difference), -1), {0, 3, 1, 2})};
  }
};

}  // namespace

Tensor l1_distance(const Tensor& q, const Tensor& k) {
  if (q.rank() != 4 || k.rank() != 4 || q.shape().with(1, 0) != k.shape().with(1, 0) || q.dtype() != k.dtype()) {
    throw Error("l1_distance of q {}, k {}: needs q [B,Tq,H,d] and k [B,Tk,H,d], in one dtype", q.shape().str(),
                k.shape().str());
  }
  return apply_one(std::make_unique<L1Distance>(), {q, k});
}

}  // namespace zoo::ops
