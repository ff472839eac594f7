#include <zoo/core/plugin.h>
#include <zoo/ops/ops.h>

// A layer that is wrong in one way: y_t = w * (x_t + mean of all x), later ones among them.

namespace {

class LooksAhead final : public zoo::Layer {
 public:
  explicit LooksAhead(zoo::Builder& builder)
      : w_(builder.parameter("w", {builder.d_model()}, zoo::Initializer::constant(1))) {}

  zoo::Tensor forward(const zoo::Tensor& x, zoo::State&, const zoo::Context&) override {
    return w_ * (x + zoo::ops::mean(x, 1, true));
  }

 private:
  zoo::Parameter w_;
};

}  // namespace

ZOO_REGISTER_LAYER(looks_ahead) {
  return {.name = "looks_ahead",
          .description = "peeks",
          .paper = "",
          .options = {},
          .make = zoo::make<LooksAhead>(),
          .test_cases = {{.d_model = 4}, {.d_model = 7}}};
}
