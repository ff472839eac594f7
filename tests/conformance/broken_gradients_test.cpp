#include "tests/conformance/broken_layers.h"
#include "zoo/core/tape.h"

/// Layers whose gradients or kernels are wrong, and the check that has to notice.
namespace zoo::test {
namespace {

struct DetachesState final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor y = Sound::forward(x, state, context);
    state.set("h", state.get("h").detach());
    return y;
  }
};
TEST(BrokenLayers, LosingTheGradientThroughTheState) {
  expect_caught<DetachesState>("gradient", "the input");
  expect_caught<DetachesState>("chunks", "the gradient of");
}

/// The square, whose derivatives may be off.
class WrongSquare final : public Op {
 public:
  WrongSquare(double vjp_factor, double backward_factor) : vjp_factor_(vjp_factor), backward_factor_(backward_factor) {}
  std::string_view name() const override { return "wrong_square"; }
  Tensors forward(std::span<const Tensor> inputs) override { return {ops::square(inputs[0])}; }
  Tensors vjp(const Executed& executed) override {
    return {ops::scale(executed.inputs[0] * executed.output_grad(), vjp_factor_)};
  }
  Tensors backward(const Executed& executed) override {
    return {ops::scale(executed.inputs[0] * executed.output_grad(), backward_factor_)};
  }

 private:
  double vjp_factor_;
  double backward_factor_;
};

template <int vjp_percent, int backward_percent>
struct WrongGradient final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor y = Sound::forward(x, state, context);
    return apply_one(std::make_unique<WrongSquare>(vjp_percent / 100.0, backward_percent / 100.0), {y});
  }
};
TEST(BrokenLayers, WrongGradient) {
  expect_caught<WrongGradient<201, 201>>("gradient", "the slope is");
  EXPECT_EQ((finding_of<WrongGradient<200, 200>>("gradient").outcome), Outcome::passed);
}
TEST(BrokenLayers, WrongBackwardKernel) {
  expect_caught<WrongGradient<200, 201>>("backward");
}
TEST(BrokenLayers, WrongGradientWithCreateGraph) {
  expect_caught<WrongGradient<201, 200>>("second_order");
}

/// tanh, whose kernel is an approximation.
class NearlyTanh final : public FusedOp {
 public:
  std::string_view name() const override { return "nearly_tanh"; }
  Tensors fallback(std::span<const Tensor> inputs) override { return {ops::tanh(inputs[0])}; }
  Tensors forward(std::span<const Tensor> inputs) override { return {ops::scale(ops::tanh(inputs[0]), 1.001)}; }
};
struct WrongKernel final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return apply_one(std::make_unique<NearlyTanh>(), {Sound::forward(x, state, context)});
  }
};
TEST(BrokenLayers, FusedKernelThatIsNotItsFallback) {
  expect_caught<WrongKernel>("fused", "the output");
}

struct DetachesParameter final : Sound {
  using Sound::Sound;
  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return Sound::forward(x, state, context) + ops::linear(x, u_.value().detach());
  }
};
TEST(BrokenLayers, LosingPartOfAParametersGradient) {
  expect_caught<DetachesParameter>("gradient", "u: the slope");
}

}  // namespace
}  // namespace zoo::test
