#include <cmath>

#include "layers/delta/frame.h"
#include "zoo/core/plugin.h"
#include "zoo/nn/step_size.h"

namespace {

using namespace zoo;

// ln U(0, 16), of one head each.
void fill_log_A(std::span<double> values, RandomStream& random) {
  for (double& value : values) value = std::log(16 * (1 - random.uniform()));
}

// Yang et al. 2024, "Gated delta networks: improving Mamba2 with delta rule": the delta rule on a state that decays,
// for each head, between the projections of delta/frame.h,
//
//   a = exp(-exp(A_log) softplus(w_a x + dt_bias))
//   e_t = beta_t (v_t - k_t a_t S_{t-1});  S_t = a_t S_{t-1} + k_t^T e_t;  o_t = q_t S_t
class GatedDeltaNet final : public Layer {
 public:
  explicit GatedDeltaNet(Builder& builder) : frame_(builder, settings(builder)) {
    const std::int64_t heads = builder.options().integer("heads");
    a_proj_ = Linear(builder, "a_proj", builder.d_model(), heads);
    A_log_ = builder.parameter("A_log", {heads}, Initializer::custom(fill_log_A), {.decay = false});
    dt_bias_ = builder.parameter("dt_bias", {heads}, step_size_bias(), {.decay = false});
  }

  State initial_state(std::int64_t batch) const override { return frame_.initial_state(batch); }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor log_a = ops::neg(ops::exp(A_log_)) * ops::softplus(a_proj_(x) + dt_bias_);
    return frame_(x, log_a, state, context);
  }

 private:
  static delta::FrameSettings settings(const Builder& builder) {
    const std::int64_t heads = builder.options().integer("heads");
    std::int64_t d_k = builder.options().integer("head_dim");
    if (d_k == 0) d_k = head_width(builder.d_model(), heads, "gated_delta_net");
    return {.heads = heads,
            .d_k = d_k,
            .d_v = delta::whole_width(builder, "gated_delta_net", "expand_v", static_cast<double>(d_k))};
  }

  delta::Frame frame_;
  Linear a_proj_;
  Parameter A_log_;
  Parameter dt_bias_;
};

}  // namespace

ZOO_REGISTER_LAYER(gated_delta_net) {
  return {.name = "gated_delta_net",
          .description = "the delta rule on a state that also decays, by a gate for each head and step",
          .paper = "Yang et al., Gated delta networks: improving Mamba2 with delta rule, 2024",
          .options = delta::with_frame_options(
              OptionSchema()
                  .integer("heads", 2, {1, 1024}, "heads")
                  .integer("head_dim", 0, {0, 1 << 16}, "channels of a head's keys; 0 = d_model / heads")
                  .real("expand_v", 2, {1e-3, 64}, "width of a head's values as a multiple of its keys'")
                  .sets_state(),
              /*gate=*/true),
          .make = make<GatedDeltaNet>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 6, .options = {{"heads", 3}, {"head_dim", 4}, {"expand_v", 1.5}, {"gate", false}}},
                         {.d_model = 9,
                          .options = {{"heads", 1},
                                      {"head_dim", 5},
                                      {"expand_v", 1},
                                      {"conv_kernel", 2},
                                      {"negative_eigenvalues", true},
                                      {"norm_eps", 1e-2}}}}};
}
