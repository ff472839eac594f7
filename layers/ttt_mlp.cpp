#include "layers/ttt/fused_layer.h"
#include "zoo/core/plugin.h"

namespace {

using namespace zoo;

// TTT-MLP (Sun et al. 2024, "Learning to (learn at test time): RNNs with expressive hidden states", section 2): the
// hidden state is a network of two layers, g(x) = gelu(x W1 + b1) W2 + b2, four times as wide inside, with
// f(x) = x + LN(g(x)). With Z1 = k W1_0 + b1_0, X2 = gelu(Z1) and Z2 = X2 W2_0 + b2_0, all K of a mini-batch at its
// start,
//
//     G2 = gradient of 1/2 |LN(Z2) - (v - k)|^2 by Z2,         G1 = (G2 W2_0^T) * gelu'(Z1)
//     W1_i = W1_0 - tok_i sum_{j<=i} eta_j k_j^T G1_j,         W2_i = W2_0 - tok_i sum_{j<=i} eta_j X2_j^T G2_j
//     z_i = q_i + LN(gelu(q_i W1_i + b1_i) W2_i + b2_i)
//
// in the dual form. The base rate is warmed up over the first tenth of training.
class TttMlp final : public ttt::FusedLayer {
 public:
  explicit TttMlp(Builder& builder) : FusedLayer(builder, "ttt_mlp", {1, 4, 1}, true) {}
};

}  // namespace

ZOO_REGISTER_LAYER(ttt_mlp) {
  return {
      .name = "ttt_mlp",
      .description = "TTT-MLP: the state is a small network that learns as it reads (ttt inner=mlp base_lr=0.1, fused)",
      .paper = "Sun et al., Learning to (learn at test time): RNNs with expressive hidden states, 2024",
      .options = ttt::fused_layer_options(
          0.1, "the learned rates lie between 0 and base_lr / d; a tenth of it as training begins"),
      .make = make<TttMlp>(),
      .wishes = ttt::wishes,
      .test_cases = {
          {.d_model = 8, .options = {{"heads", 2}}},
          {.d_model = 6, .options = {{"heads", 1}, {"mini_batch", 1}}},
          {.d_model = 12, .options = {{"heads", 2}, {"mini_batch", 5}, {"share_qk", true}, {"gate", true}}},
          {.d_model = 6, .options = {{"heads", 2}, {"rope_base", 0}, {"base_lr", 0.5}, {"mini_batch", 64}}},
          {.d_model = 8, .options = {{"heads", 2}, {"share_qk", true}, {"conv_kernel", 2}, {"rope_base", 100}}}}};
}
