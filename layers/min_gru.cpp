#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/ops/diagonal_scan.h"

namespace {

using namespace zoo;

// A gated recurrent unit whose gate and candidate do not see the state, so that its steps are a scan (Feng et al. 2024,
// "Were RNNs all we needed?", section 3.1, the form without logarithms):
//
//   z_t = sigmoid(W_z x_t + b_z),  h~_t = W_h x_t + b_h,  h_t = (1 - z_t) h_{t-1} + z_t h~_t
class MinGru final : public Layer {
 public:
  explicit MinGru(Builder& builder)
      : d_model_(builder.d_model()),
        linear_z_(builder, "linear_z", d_model_, d_model_, {.bias = true}),
        linear_h_(builder, "linear_h", d_model_, d_model_, {.bias = true}) {}

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("h", Tensor::zeros({batch, d_model_}, linear_z_.dtype()));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const Tensor gate = linear_z_(x);
    const Tensor z = ops::sigmoid(gate), kept = ops::sigmoid(-gate);  // 1 - z, exact where z is next to 1
    const ops::DiagonalScan scan = ops::diagonal_scan(kept, z * linear_h_(x), state.get("h"));
    state.set("h", scan.state);
    return scan.h;
  }

 private:
  std::int64_t d_model_;
  Linear linear_z_;
  Linear linear_h_;
};

}  // namespace

ZOO_REGISTER_LAYER(min_gru) {
  return {.name = "min_gru",
          .description = "a gated recurrent unit whose gate does not see the state",
          .paper = "Feng et al., Were RNNs all we needed?, 2024",
          .options = OptionSchema(),
          .make = make<MinGru>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5}}};
}
