#include <zoo/core/plugin.h>
#include <zoo/ops/ops.h>

namespace {

/// y_t = W (mu * x_t + (1 - mu) * x_{t-s}), with mu learned for each channel and x = 0 before the first token: the
/// token shift of RWKV-4, over s tokens.
class TokenShift final : public zoo::Layer {
 public:
  explicit TokenShift(zoo::Builder& builder)
      : d_model_(builder.d_model()),
        shift_(builder.options().integer("shift")),
        mu_(builder.parameter("mu", {d_model_}, zoo::Initializer::constant(0.5), {.decay = false})),
        weight_(builder.parameter("output.weight", {d_model_, d_model_}, zoo::Initializer::output_projection())) {}

  // The last s tokens.
  zoo::State initial_state(std::int64_t batch) const override {
    zoo::State state;
    state.set("last", zoo::Tensor::zeros({batch, shift_, d_model_}, mu_.value().dtype()));
    return state;
  }

  zoo::Tensor forward(const zoo::Tensor& x, zoo::State& state, const zoo::Context&) override {
    using namespace zoo::ops;
    const std::int64_t length = x.dim(1);
    const zoo::Tensor all = concat({state.get("last"), x}, 1);
    const zoo::Tensor shifted = slice(all, 1, 0, length);
    state.set("last", slice(all, 1, length, length + shift_));
    return linear(shifted + mu_ * (x - shifted), weight_);
  }

 private:
  std::int64_t d_model_, shift_;
  zoo::Parameter mu_, weight_;
};

}  // namespace

ZOO_REGISTER_LAYER(token_shift) {
  return {.name = "token_shift",
          .description = "each token mixed with the one before, channel by channel",
          .paper = "Peng et al., RWKV: Reinventing RNNs for the Transformer Era, 2023, section 3.1.1",
          .options = zoo::OptionSchema().integer("shift", 1, {1, 4096}, "how many tokens back"),
          .make = zoo::make<TokenShift>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5, .options = {{"shift", 3}}}}};
}
