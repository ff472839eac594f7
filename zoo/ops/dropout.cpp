#include "zoo/cpu/dropout.h"

#include "zoo/gpu/dropout.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// A product with a fixed diagonal, so its own gradient.
class Dropout final : public Op {
 public:
  Dropout(double probability, RandomKey key, std::uint64_t first)
      : probability_(probability), key_(key), first_(first) {}
  std::string_view name() const override { return "dropout"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::dropout(at(x), x.size(), probability_, key_, first_, at(y), at.stream());
      } else {
        cpu::dropout(at(x), x.size(), probability_, key_, first_, at(y));
      }
    });
    return {y};
  }

  Tensors vjp(const Executed& executed) override {
    return {dropout(executed.output_grad(), probability_, key_, first_)};
  }
  Keep keeps_input(std::size_t) const override { return Keep::shape; }

 private:
  double probability_;
  RandomKey key_;
  std::uint64_t first_;
};

}  // namespace

Tensor dropout(const Tensor& x, double probability, RandomKey key, std::uint64_t first) {
  check_real(x, "dropout");
  if (!(probability >= 0 && probability < 1)) {
    throw Error("dropout with probability {}; it must be at least 0 and below 1", probability);
  }
  if (probability == 0) return x;
  return apply_one(std::make_unique<Dropout>(probability, key, first), {x});
}

namespace {

OpCase dropout_case(std::string name, Shape shape, double probability, std::uint64_t first) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .call = [=](std::span<const Tensor> inputs) {
            return Tensors{dropout(inputs[0], probability, RandomKey::of(1, "dropout"), first)};
          }};
}

const OpRegistration registration(
    {.name = "dropout",
     .cases = {dropout_case("plain", {4, 16}, 0.5, 0), dropout_case("from within a block", {3, 7}, 0.1, 13),
               dropout_case("more than a batch of numbers", {3, 401}, 0.25, 3),
               dropout_case("far into the stream", {5}, 0.5, (1ULL << 35) - 2), dropout_case("none", {2, 3}, 0, 0),
               dropout_case("empty", {0, 3}, 0.5, 0)}});

}  // namespace

}  // namespace zoo::ops
