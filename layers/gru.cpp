#include "zoo/core/plugin.h"
#include "zoo/nn/recurrent.h"

namespace {

using namespace zoo;

// Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", in PyTorch's form, whose reset gate
// acts behind the matrix:
//
//   r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr),  z_t likewise,
//   n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn)),  h_t = (1 - z_t) * n_t + z_t * h_{t-1}
class Gru final : public Layer {
 public:
  explicit Gru(Builder& builder) : weights_(builder, 3) {}

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("h", weights_.zeros(batch));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const ops::CellRun run = ops::recurrent_cell(ops::Cell::gru, weights_.project(x), weights_.hidden_weight(),
                                                 weights_.hidden_bias(), state.get("h"));
    state.set("h", run.last_hidden);
    return run.h;
  }

 private:
  RecurrentWeights weights_;
};

}  // namespace

ZOO_REGISTER_LAYER(gru) {
  return {.name = "gru",
          .description = "a gated recurrent unit, as PyTorch's GRU",
          .paper = "Cho et al., Learning phrase representations using RNN encoder-decoder, 2014",
          .options = OptionSchema(),
          .make = make<Gru>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5}}};
}
