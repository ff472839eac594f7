#include "zoo/core/plugin.h"
#include "zoo/nn/recurrent.h"

namespace {

using namespace zoo;

// h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) (Elman 1990, "Finding structure in time").
class Rnn final : public Layer {
 public:
  explicit Rnn(Builder& builder) : weights_(builder, 1) {}

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("h", weights_.zeros(batch));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const ops::CellRun run = ops::recurrent_cell(ops::Cell::tanh, weights_.project(x), weights_.hidden_weight(),
                                                 weights_.hidden_bias(), state.get("h"));
    state.set("h", run.last_hidden);
    return run.h;
  }

 private:
  RecurrentWeights weights_;
};

}  // namespace

ZOO_REGISTER_LAYER(rnn) {
  return {.name = "rnn",
          .description = "a recurrent network with tanh, as PyTorch's RNN",
          .paper = "Elman, Finding structure in time, 1990",
          .options = OptionSchema(),
          .make = make<Rnn>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5}}};
}
