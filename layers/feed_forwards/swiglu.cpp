#include "zoo/core/plugin.h"
#include "zoo/ops/ops.h"

namespace {

using namespace zoo;

// W_down (silu(W_gate x) * W_up x) (Shazeer 2020, "GLU variants improve transformer"), named as in Llama.
class SwiGlu final : public Layer {
 public:
  explicit SwiGlu(Builder& builder) {
    const std::int64_t d_model = builder.d_model();
    std::int64_t hidden = builder.options().integer("hidden");
    // Two thirds of 4 d_model, so that three matrices hold what an MLP's two do, in whole blocks of 32.
    if (hidden == 0) hidden = (8 * d_model / 3 + 31) / 32 * 32;
    gate_ = builder.parameter("gate_proj.weight", {hidden, d_model}, Initializer::linear_weight());
    up_ = builder.parameter("up_proj.weight", {hidden, d_model}, Initializer::linear_weight());
    down_ = builder.parameter("down_proj.weight", {d_model, hidden}, Initializer::output_projection());
    if (!builder.options().boolean("bias")) return;
    gate_bias_ = builder.parameter("gate_proj.bias", {hidden}, Initializer::constant(0));
    up_bias_ = builder.parameter("up_proj.bias", {hidden}, Initializer::constant(0));
    down_bias_ = builder.parameter("down_proj.bias", {d_model}, Initializer::constant(0));
  }

  Tensor forward(const Tensor& x, State&, const Context&) override {
    const Tensor gate = ops::linear(x, gate_, value(gate_bias_)), up = ops::linear(x, up_, value(up_bias_));
    return ops::linear(ops::silu_gate(up, gate), down_, value(down_bias_));
  }

  bool positionwise() const override { return true; }

 private:
  static Tensor value(const Parameter& bias) { return bias.defined() ? bias.value() : Tensor{}; }

  Parameter gate_, gate_bias_;
  Parameter up_, up_bias_;
  Parameter down_, down_bias_;
};

}  // namespace

ZOO_REGISTER_FEED_FORWARD(swiglu) {
  return {.name = "swiglu",
          .description = "a gated linear map: down(silu(gate x) * up x)",
          .paper = "Shazeer, GLU variants improve transformer, 2020",
          .options =
              OptionSchema()
                  .integer("hidden", 0, {0, 1 << 24}, "hidden width; 0 = 8/3 d_model, rounded up to a multiple of 32")
                  .boolean("bias", false, "biases of the three maps")
                  .left_out_at_default(),
          .make = make<SwiGlu>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 6, .options = {{"hidden", 10}}},
                         {.d_model = 6, .options = {{"hidden", 5}, {"bias", true}}}}};
}
