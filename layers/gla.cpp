#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// Gated linear attention (Yang et al. 2023, sections 4.1 and 4.4):
//
//   log alpha_t = logsigmoid(W_2 W_1 x_t + b) / tau
//   S_t = diag(alpha_t) S_{t-1} + k_t^T v_t,  o_t = q_t / sqrt(d_k) S_t
//   y = W_O (RMSNorm_h(o) * silu(W_G x))
class Gla final : public Layer {
 public:
  explicit Gla(Builder& builder)
      : heads_(builder.options().integer("heads")),
        tau_(builder.options().real("gate_normalizer")),
        d_k_(split_width(builder.d_model(), builder.options().real("expand_k"), heads_, "gla", "expand_k")),
        d_v_(split_width(builder.d_model(), builder.options().real("expand_v"), heads_, "gla", "expand_v")),
        q_proj_(builder, "q_proj", builder.d_model(), heads_ * d_k_),
        k_proj_(builder, "k_proj", builder.d_model(), heads_ * d_k_),
        v_proj_(builder, "v_proj", builder.d_model(), heads_ * d_v_),
        g_proj_(builder, "g_proj", builder.d_model(), heads_ * d_v_),
        gate_in_(builder, "gk_proj.0", builder.d_model(), builder.options().integer("gate_rank")),
        gate_out_(builder, "gk_proj.1", builder.options().integer("gate_rank"), heads_ * d_k_, {.bias = true}),
        norm_(builder, "g_norm_swish_gate", d_v_, builder.options().real("norm_eps")),
        o_proj_(builder, "o_proj", heads_ * d_v_, builder.d_model(), {.weight = Initializer::output_projection()}) {}

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("S", Tensor::zeros({batch, heads_, d_k_, d_v_}, q_proj_.dtype()));
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor q = split_heads(q_proj_(x), heads_) / std::sqrt(static_cast<double>(d_k_));
    const Tensor k = split_heads(k_proj_(x), heads_);
    const Tensor v = split_heads(v_proj_(x), heads_);
    const Tensor log_alpha = split_heads(ops::log_sigmoid(gate_out_(gate_in_(x))) / tau_, heads_);
    const ops::Recurrence result = ops::gated_linear_recurrence(q, k, v, state.get("S"), log_alpha);
    state.set("S", result.state);
    const Tensor o = norm_(read_rows(result.y, context));
    return o_proj_(ops::silu_gate(join_heads(o), g_proj_(read_rows(x, context))));
  }

 private:
  std::int64_t heads_;
  double tau_;
  std::int64_t d_k_;
  std::int64_t d_v_;
  Linear q_proj_;
  Linear k_proj_;
  Linear v_proj_;
  Linear g_proj_;
  Linear gate_in_;
  Linear gate_out_;
  RmsNorm norm_;
  Linear o_proj_;
};

}  // namespace

ZOO_REGISTER_LAYER(gla) {
  return {.name = "gla",
          .description = "linear attention whose state decays by a learned gate for each key channel and step",
          .paper = "Yang et al., Gated linear attention transformers with hardware-efficient training, 2023",
          .options = OptionSchema()
                         .integer("heads", 4, {1, 1024}, "heads")
                         .real("expand_k", 0.5, {1e-3, 64}, "width of queries and keys as a multiple of d_model")
                         .sets_state()
                         .real("expand_v", 1, {1e-3, 64}, "width of the values as a multiple of d_model")
                         .integer("gate_rank", 16, {1, 4096}, "rank of the gate's projection")
                         .real("gate_normalizer", 16, {1e-3, 1e6}, "tau, by which the gate's logarithm is divided")
                         .real("norm_eps", 1e-5, {0, 1}, "added to the mean square in the norm of each head"),
          .make = make<Gla>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 12, .options = {{"heads", 2}, {"expand_k", 1}, {"expand_v", 1.5}}},
                         {.d_model = 10,
                          .options = {{"heads", 1}, {"gate_rank", 3}, {"gate_normalizer", 2}, {"norm_eps", 1e-6}}}}};
}
