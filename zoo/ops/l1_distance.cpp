#include "zoo/cpu/l1_distance.h"

#include "zoo/core/error.h"
#include "zoo/gpu/l1_distance.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/families.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

// Inputs: q, k.
class L1Distance final : public FusedOp {
 public:
  explicit L1Distance(const cpu::DistanceSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "l1_distance"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor &q = inputs[0], &k = inputs[1];
    Tensor distances = Tensor::empty({sizes_.batch, sizes_.heads, sizes_.queries, sizes_.keys}, q.dtype());
    dispatch(q.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::l1_distance_forward(sizes_, at(q), at(k), at(distances), at.stream());
      } else {
        cpu::l1_distance_forward(sizes_, at(q), at(k), at(distances));
      }
    });
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::l1_distance_forward_traffic(sizes_); });
    return {distances};
  }

  Tensors backward(const Executed& executed) override {
    const Tensor &q = executed.inputs[0], &k = executed.inputs[1];
    Tensors gradients = {Tensor::empty(q.shape(), q.dtype()), Tensor::empty(k.shape(), q.dtype())};
    const Tensor gradient = executed.output_grad(0);
    dispatch(q.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::l1_distance_backward(sizes_, at(q), at(k), at(gradient), at(gradients[0]), at(gradients[1]), at.stream());
      } else {
        cpu::l1_distance_backward(sizes_, at(q), at(k), at(gradient), at(gradients[0]), at(gradients[1]));
      }
    });
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::l1_distance_backward_traffic(sizes_); });
    for (std::size_t i = 0; i < 2; ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
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

namespace {

// Queries in (0.5, 2) and keys beyond 3.5 on either side in turn: no difference comes near 0, and both signs occur.
OpCase distance_case(std::string name, std::int64_t B, std::int64_t Tq, std::int64_t Tk, std::int64_t H,
                     std::int64_t d) {
  return {.name = std::move(name),
          .inputs = {{.shape = {B, Tq, H, d}, .kind = InputSpec::Kind::positive},
                     {.shape = {B, Tk, H, d}, .kind = InputSpec::Kind::positive}},
          .call = [](std::span<const Tensor> inputs) {
            const Tensor& k = inputs[1];
            Tensor sides = Tensor::empty(k.shape(), DType::f64);
            for (std::int64_t i = 0; i < k.size(); ++i) sides.data<double>()[i] = i % 2 == 0 ? 1 : -1;
            return Tensors{l1_distance(inputs[0], sides.to(k.dtype()) * (k + 3.0))};
          }};
}

const OpRegistration registration(
    {.name = "l1_distance",
     .cases = {distance_case("small", 2, 3, 4, 2, 5), distance_case("one query", 1, 1, 70, 1, 17),
               distance_case("odd sizes", 2, 9, 67, 3, 3), distance_case("no sequences", 0, 3, 4, 2, 5),
               distance_case("no keys", 2, 3, 0, 2, 5)}});

}  // namespace

}  // namespace zoo::ops
