#include <cmath>
#include <optional>

#include "zoo/core/plugin.h"
#include "zoo/core/tabulate.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// The second-order Taylor features of exp(q.k / sqrt(d)) (Arora et al. 2024, "Based"): 1, x_i / d^(1/4), and the
// products x_i x_j, i >= j, weighed so that phi(q).phi(k) = 1 + s + s^2/2 with s = q.k / sqrt(d).
Tensor taylor_features(const Tensor& x) {
  const std::int64_t d = x.dim(-1);
  const double width = static_cast<double>(d);
  Tensors features;
  features.push_back(Tensor::full(x.shape().with(-1, 1), 1, x.dtype()));
  features.push_back(ops::scale(x, std::pow(width, -0.25)));
  features.push_back(ops::scale(ops::square(x), 1 / std::sqrt(2 * width)));
  for (std::int64_t distance = 1; distance < d; ++distance) {
    features.push_back(
        ops::scale(ops::slice(x, -1, distance, d) * ops::slice(x, -1, 0, d - distance), 1 / std::sqrt(width)));
  }
  return ops::concat(features, -1);
}

// z_t = sum_{s<=t} v_s (phi(k_s) . phi(q_t)), from the state S_t = gamma S_{t-1} + phi(k_t) v_t^T (Katharopoulos et al.
// 2020, "Transformers are RNNs"). The normaliser sum_s phi(k_s) . phi(q_t) is the same sum with v_s = 1: one more
// column of S.
class LinearAttention final : public Layer {
 public:
  explicit LinearAttention(Builder& builder)
      : heads_(builder.options().integer("heads")),
        feature_map_(builder.options().text("feature_map")),
        normalise_(builder.options().boolean("normalise")),
        retnet_decay_(builder.options().text("decay") == "retnet"),
        d_(head_width(builder.d_model(), heads_, "linear_attention")) {
    const std::int64_t D = builder.d_model();
    q_proj_ = Linear(builder, "q_proj", D, D);
    k_proj_ = Linear(builder, "k_proj", D, D);
    v_proj_ = Linear(builder, "v_proj", D, D);
    o_proj_ = Linear(builder, "o_proj", D, D, {.weight = Initializer::output_projection()});
    if (builder.options().boolean("post_norm")) post_norm_.emplace(builder, "post_norm", 1e-6);
  }

  State initial_state(std::int64_t batch) const override {
    const std::int64_t features = feature_map_ == "taylor" ? 1 + d_ + d_ * (d_ + 1) / 2 : d_;
    State state;
    state.set("S", Tensor::zeros({batch, heads_, features, d_ + (normalise_ ? 1 : 0)}, v_proj_.dtype()));
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const Tensor q = phi(split_heads(q_proj_(x), heads_));
    const Tensor k = phi(split_heads(k_proj_(x), heads_));
    Tensor v = split_heads(v_proj_(x), heads_);
    if (normalise_) v = ops::concat({v, Tensor::full(v.shape().with(-1, 1), 1, v.dtype())}, -1);
    const ops::Recurrence result = ops::linear_recurrence(q, k, v, state.get("S"), decay());
    state.set("S", result.state);
    Tensor z = read_rows(result.y, context);
    if (normalise_) z = normalised(z);
    z = join_heads(z);
    return o_proj_(post_norm_ ? (*post_norm_)(z) : z);
  }

 private:
  Tensor phi(const Tensor& x) const {
    if (feature_map_ == "elu1") return ops::elu(x) + 1.0;
    if (feature_map_ == "relu") return ops::relu(x);
    if (feature_map_ == "softmax") return ops::softmax(x);
    if (feature_map_ == "taylor") return taylor_features(x);
    return x;
  }

  // gamma_h = 1 - 2^(-5-h) (Sun et al. 2023, "Retentive network"), or none.
  Tensor decay() const {
    if (!retnet_decay_) return {};
    return tabulate({heads_}, v_proj_.dtype(),
                    [](std::int64_t h) { return 1 - std::exp2(-5.0 - static_cast<double>(h)); });
  }

  // The first d columns over the last. A denominator of 0 gives 0, and no gradient; so does one that is so near to 0
  // (2^-100 in float32, 2^-900 in float64) that the gradient of the quotient would overflow.
  Tensor normalised(const Tensor& z) const {
    const Tensor numerator = ops::slice(z, -1, 0, d_);
    Tensor denominator = ops::slice(z, -1, d_, d_ + 1);
    if (feature_map_ == "taylor") denominator = denominator + 1e-12;
    const Tensor least = Tensor::full({1}, z.dtype() == DType::f64 ? 0x1p-900 : 0x1p-100, z.dtype());
    const Tensor divides = ops::greater(ops::abs(denominator), least);
    const Tensor one = Tensor::full({1}, 1, z.dtype());
    const Tensor zero = Tensor::zeros({1}, z.dtype());
    return ops::where(divides, numerator / ops::where(divides, denominator, one), zero);
  }

  std::int64_t heads_;
  std::string feature_map_;
  bool normalise_;
  bool retnet_decay_;
  std::int64_t d_;
  Linear q_proj_;
  Linear k_proj_;
  Linear v_proj_;
  Linear o_proj_;
  std::optional<LayerNorm> post_norm_;
};

}  // namespace

ZOO_REGISTER_LAYER(linear_attention) {
  return {
      .name = "linear_attention",
      .description = "attention without the softmax, as a recurrence on a matrix state",
      .paper = "Katharopoulos et al., Transformers are RNNs, 2020",
      .options =
          OptionSchema()
              .integer("heads", 1, {1, 1024}, "heads")
              .choice("feature_map", "identity", {"identity", "elu1", "relu", "taylor", "softmax"},
                      "phi, on queries and keys")
              .boolean("normalise", false, "divide by the sum of phi(k_s).phi(q_t)")
              .choice("decay", "none", {"none", "retnet"}, "retnet: the state of head h decays by 1 - 2^(-5-h) a step")
              .boolean("post_norm", false, "LayerNorm of what the heads give, before the output projection")
              .left_out_at_default(),
      .make = make<LinearAttention>(),
      .test_cases = {{.d_model = 8},
                     {.d_model = 8, .options = {{"heads", 2}, {"feature_map", "elu1"}, {"normalise", true}}},
                     {.d_model = 8, .options = {{"feature_map", "softmax"}, {"normalise", true}, {"decay", "retnet"}}},
                     {.d_model = 8, .options = {{"heads", 2}, {"feature_map", "taylor"}, {"normalise", true}}},
                     {.d_model = 8, .options = {{"heads", 4}, {"decay", "retnet"}}},
                     {.d_model = 8, .options = {{"heads", 2}, {"post_norm", true}}},
                     {.d_model = 6, .options = {{"feature_map", "relu"}}}}};
}
