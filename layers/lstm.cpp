#include "zoo/core/plugin.h"
#include "zoo/nn/recurrent.h"

namespace {

using namespace zoo;

// Hochreiter and Schmidhuber 1997, "Long short-term memory", with the forget gate of Gers et al. 2000:
//
//   i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi),  f_t and o_t likewise,  g_t the same with tanh,
//   c_t = f_t * c_{t-1} + i_t * g_t,  h_t = o_t * tanh(c_t)
class Lstm final : public Layer {
 public:
  explicit Lstm(Builder& builder) : weights_(builder, 4) {}

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("h", weights_.zeros(batch));
    state.set("c", weights_.zeros(batch));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const ops::CellRun run = ops::recurrent_cell(ops::Cell::lstm, weights_.project(x), weights_.hidden_weight(),
                                                 weights_.hidden_bias(), state.get("h"), state.get("c"));
    state.set("h", run.last_hidden);
    state.set("c", run.last_carried);
    return run.h;
  }

 private:
  RecurrentWeights weights_;
};

}  // namespace

ZOO_REGISTER_LAYER(lstm) {
  return {.name = "lstm",
          .description = "long short-term memory, as PyTorch's LSTM",
          .paper = "Hochreiter and Schmidhuber, Long short-term memory, 1997",
          .options = OptionSchema(),
          .make = make<Lstm>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5}}};
}
