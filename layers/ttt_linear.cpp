#include "layers/ttt/fused_layer.h"
#include "zoo/core/plugin.h"

namespace {

using namespace zoo;

// TTT-Linear (Sun et al. 2024, "Learning to (learn at test time): RNNs with expressive hidden states", section 2): the
// hidden state is a linear model g(x; W, b) = x W + b with f(x) = x + LN(g(x)), and the update rule is a step of
// self-supervised learning. With Z = k W_0 + b_0 and G = gradient of 1/2 |LN(Z) - (v - k)|^2 by Z, all K of a
// mini-batch at its start, and the rate eta_j that each token chooses,
//
//     W_i = W_0 - tok_i sum_{j<=i} eta_j k_j^T G_j,   b_i = b_0 - tok_i sum_{j<=i} eta_j G_j
//     z_i = q_i + LN(q_i W_i + b_i)
//
// in the dual form, which makes no W_i but the last: q_i W_i = q_i W_0 - tok_i sum_{j<=i} eta_j (q_i.k_j) G_j.
class TttLinear final : public ttt::FusedLayer {
 public:
  explicit TttLinear(Builder& builder) : FusedLayer(builder, "ttt_linear", {1, 1}, false) {}
};

}  // namespace

ZOO_REGISTER_LAYER(ttt_linear) {
  return {.name = "ttt_linear",
          .description = "TTT-Linear: the state is a linear model that learns as it reads (ttt inner=linear, fused)",
          .paper = "Sun et al., Learning to (learn at test time): RNNs with expressive hidden states, 2024",
          .options = ttt::fused_layer_options(1, "the learned rates lie between 0 and base_lr / d"),
          .make = make<TttLinear>(),
          .wishes = ttt::wishes,
          .test_cases = {
              {.d_model = 8, .options = {{"heads", 2}}},
              {.d_model = 8, .options = {{"heads", 1}, {"mini_batch", 1}}},
              {.d_model = 12, .options = {{"heads", 2}, {"mini_batch", 5}, {"share_qk", true}, {"gate", true}}},
              {.d_model = 6, .options = {{"heads", 2}, {"rope_base", 0}, {"base_lr", 0.5}, {"mini_batch", 64}}},
              {.d_model = 8, .options = {{"heads", 2}, {"share_qk", true}, {"conv_kernel", 2}, {"rope_base", 100}}}}};
}
