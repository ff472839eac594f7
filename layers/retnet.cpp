#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/core/tabulate.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// Multi-scale retention (Sun et al. 2023, "Retentive network", section 2), with rotate-half positions:
//
//   S_t = gamma_h S_{t-1} + k_t^T v_t,  o_t = q_t / sqrt(d_k) S_t,  gamma_h = 1 - 2^(-5-h)
//   y = W_O (RMSNorm_h(o) * silu(W_G x))
class RetNet final : public Layer {
 public:
  explicit RetNet(Builder& builder)
      : heads_(builder.options().integer("heads")),
        d_k_(head_width(builder.d_model(), heads_, "retnet")),
        d_v_(split_width(builder.d_model(), builder.options().real("expand_v"), heads_, "retnet", "expand_v")),
        q_proj_(builder, "q_proj", builder.d_model(), heads_ * d_k_),
        k_proj_(builder, "k_proj", builder.d_model(), heads_ * d_k_),
        v_proj_(builder, "v_proj", builder.d_model(), heads_ * d_v_),
        g_proj_(builder, "g_proj", builder.d_model(), heads_ * d_v_),
        norm_(builder, "g_norm_swish_gate", d_v_, builder.options().real("norm_eps")),
        o_proj_(builder, "o_proj", heads_ * d_v_, builder.d_model(), {.weight = Initializer::output_projection()}) {
    if (d_k_ % 2 != 0) {
      throw UsageError(
          "layer retnet: heads of width {} (d_model {} / heads {}) cannot be rotated in pairs; choose heads so that "
          "the width is even",
          d_k_, builder.d_model(), heads_);
    }
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("S", Tensor::zeros({batch, heads_, d_k_, d_v_}, q_proj_.dtype()));
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const ops::RopeOptions positions{.first = state.position};
    const Tensor q = ops::rope(split_heads(q_proj_(x), heads_), positions);
    const Tensor k = ops::rope(split_heads(k_proj_(x), heads_), positions);
    const Tensor v = split_heads(v_proj_(x), heads_);
    const ops::Recurrence retention =
        ops::linear_recurrence(q / std::sqrt(static_cast<double>(d_k_)), k, v, state.get("S"), gamma());
    state.set("S", retention.state);
    const Tensor o = norm_(read_rows(retention.y, context));
    return o_proj_(ops::silu_gate(join_heads(o), g_proj_(read_rows(x, context))));
  }

 private:
  Tensor gamma() const {
    return tabulate({heads_}, q_proj_.dtype(),
                    [](std::int64_t h) { return 1 - std::exp2(-5.0 - static_cast<double>(h)); });
  }

  std::int64_t heads_;
  std::int64_t d_k_;
  std::int64_t d_v_;
  Linear q_proj_;
  Linear k_proj_;
  Linear v_proj_;
  Linear g_proj_;
  RmsNorm norm_;
  Linear o_proj_;
};

}  // namespace

ZOO_REGISTER_LAYER(retnet) {
  return {.name = "retnet",
          .description = "retention: linear attention with a fixed decay for each head",
          .paper = "Sun et al., Retentive network: a successor to transformer for large language models, 2023",
          .options = OptionSchema()
                         .integer("heads", 1, {1, 1024}, "heads")
                         .real("expand_v", 2, {1e-3, 64}, "width of the values as a multiple of d_model")
                         .sets_state()
                         .real("norm_eps", 1e-5, {0, 1}, "added to the mean square in the norm of each head"),
          .make = make<RetNet>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 8, .options = {{"heads", 4}}},
                         {.d_model = 12, .options = {{"heads", 2}, {"expand_v", 1.5}, {"norm_eps", 1e-6}}},
                         {.d_model = 6, .options = {{"heads", 3}, {"expand_v", 1}}}}};
}
