#include <zoo/core/plugin.h>
#include <zoo/nn/linear.h>
#include <zoo/ops/families.h>

namespace {

using namespace zoo;

// Linear attention that stores each value under the key of an earlier token, so that a token finds what followed it:
//
//   S_t = S_{t-1} + k_{t-s} v_t^T,   y_t = W_o S_t^T q_t,   with s = shift and k = 0 before the first token
class ShiftedKeys final : public Layer {
 public:
  explicit ShiftedKeys(Builder& builder)
      : D_(builder.d_model()),
        shift_(builder.options().integer("shift")),
        q_(builder, "q", D_, D_),
        k_(builder, "k", D_, D_),
        v_(builder, "v", D_, D_),
        o_(builder, "o", D_, D_) {}

  // What is known before the first token, for a batch of sequences.
  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("k", Tensor::zeros({batch, shift_, D_}, k_.dtype()));
    state.set("S", Tensor::zeros({batch, 1, D_, D_}, v_.dtype()));
    return state;
  }

  // A chunk x [B, T, D] of any length T: all of a sequence in training, a token at a time in decoding.
  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const std::int64_t T = x.dim(1);
    const Tensor k = ops::concat({state.get("k"), k_(x)}, 1);
    state.set("k", ops::slice(k, 1, T, T + shift_));
    // The recurrence runs a sequence in chunks of matrix products; it takes heads, [B, T, H, d]: here there is one.
    const Shape heads = x.shape().insert(2, 1);
    const auto [y, S] = ops::linear_recurrence(ops::reshape(q_(x), heads), ops::reshape(ops::slice(k, 1, 0, T), heads),
                                               ops::reshape(v_(x), heads), state.get("S"), {});
    state.set("S", S);
    return o_(ops::reshape(y, x.shape()));
  }

 private:
  std::int64_t D_, shift_;
  Linear q_, k_, v_, o_;
};

}  // namespace

ZOO_REGISTER_LAYER(shifted_keys) {
  return {.name = "shifted_keys",
          .description = "linear attention with keys of an earlier token",
          .paper = "",
          .options = OptionSchema().integer("shift", 1, {0, 64}, "how many tokens before its value a key stands"),
          .make = make<ShiftedKeys>(),
          .test_cases = {{.d_model = 8}, {.d_model = 5, .options = {{"shift", 3}}}}};
}
