#include "zoo/core/plugin.h"
#include "zoo/ops/ops.h"

namespace {

using namespace zoo;

// W_2 gelu(W_1 x + b_1) + b_2, the feed-forward of GPT-2 (Radford et al. 2019), with the tanh form of gelu.
class Mlp final : public Layer {
 public:
  explicit Mlp(Builder& builder) {
    const std::int64_t d_model = builder.d_model();
    const std::int64_t hidden = d_model * builder.options().integer("expand");
    w1_ = builder.parameter("fc1.weight", {hidden, d_model}, Initializer::linear_weight());
    b1_ = builder.parameter("fc1.bias", {hidden}, Initializer::constant(0));
    w2_ = builder.parameter("fc2.weight", {d_model, hidden}, Initializer::output_projection());
    b2_ = builder.parameter("fc2.bias", {d_model}, Initializer::constant(0));
  }

  Tensor forward(const Tensor& x, State&, const Context&) override {
    return ops::linear(ops::gelu_tanh(ops::linear(x, w1_, b1_)), w2_, b2_);
  }

  bool positionwise() const override { return true; }

 private:
  Parameter w1_;
  Parameter b1_;
  Parameter w2_;
  Parameter b2_;
};

}  // namespace

ZOO_REGISTER_FEED_FORWARD(mlp) {
  return {.name = "mlp",
          .description = "two linear maps with gelu between",
          .paper = "Radford et al., Language models are unsupervised multitask learners, 2019",
          .options = OptionSchema().integer("expand", 4, {1, 64}, "hidden width as a multiple of d_model"),
          .make = make<Mlp>(),
          .test_cases = {{.d_model = 8}, {.d_model = 6, .options = {{"expand", 2}}}}};
}
