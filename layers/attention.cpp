#include "zoo/core/plugin.h"
#include "zoo/core/tabulate.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// o_t = sum_s softmax_s(q_t . k_s / sqrt(d)) v_s over 0 <= t - s < window (Vaswani et al. 2017), with key-value heads
// shared by groups of query heads (Ainslie et al. 2023) and rotary positions (Su et al. 2021).
class Attention final : public Layer {
 public:
  explicit Attention(Builder& builder)
      : heads_(builder.options().integer("heads")),
        kv_heads_(builder.options().integer("kv_heads") == 0 ? heads_ : builder.options().integer("kv_heads")),
        window_(builder.options().integer("window")),
        rope_(builder.options().text("positions") == "rope"),
        rope_base_(builder.options().real("rope_base")),
        dropout_(builder.options().real("dropout")),
        d_(builder.options().integer("head_dim") == 0 ? head_width(builder.d_model(), heads_, "attention")
                                                      : builder.options().integer("head_dim")) {
    if (heads_ % kv_heads_ != 0) {
      throw UsageError(
          "layer attention: heads {} is not divisible by kv_heads {}; each key-value head serves an equal "
          "group of query heads",
          heads_, kv_heads_);
    }
    if (rope_ && d_ % 2 != 0) {
      throw UsageError(
          "layer attention: positions rope turns pairs of channels, but a head is {} wide (d_model {}, heads {}, "
          "head_dim {}); it must be even",
          d_, builder.d_model(), heads_, builder.options().integer("head_dim"));
    }
    const std::int64_t D = builder.d_model();
    const bool bias = builder.options().boolean("bias");
    q_proj_ = Linear(builder, "q_proj", D, heads_ * d_, {.bias = bias});
    k_proj_ = Linear(builder, "k_proj", D, kv_heads_ * d_, {.bias = bias});
    v_proj_ = Linear(builder, "v_proj", D, kv_heads_ * d_, {.bias = bias});
    o_proj_ = Linear(builder, "o_proj", heads_ * d_, D, {.bias = bias, .weight = Initializer::output_projection()});
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("k", Tensor::zeros({batch, 0, kv_heads_, d_}, k_proj_.dtype()));
    state.set("v", Tensor::zeros({batch, 0, kv_heads_, d_}, v_proj_.dtype()));
    return state;
  }

  // Keys and values are needed of every token, queries and outputs only where somebody reads.
  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const std::int64_t T = x.dim(1);
    Tensor q = split_heads(q_proj_(read_rows(x, context)), heads_);
    Tensor k = split_heads(k_proj_(x), kv_heads_);
    Tensor v = split_heads(v_proj_(x), kv_heads_);
    if (rope_) {
      const ops::RopeOptions rope{.base = rope_base_, .first = state.position};
      q = context.rows != nullptr ? ops::rope(q, positions(*context.rows, T, state.position), rope)
                                  : ops::rope(q, rope);
      k = ops::rope(k, rope);
    }
    if (window_ > 0) {
      k = append_to_state(state, "k", k, window_ - 1);
      v = append_to_state(state, "v", v, window_ - 1);
    } else {
      k = append_to_state(state, "k", k);
      v = append_to_state(state, "v", v);
    }
    const ops::AttentionOptions options{.scale = 0,  // 1 / sqrt(d)
                                        .window = window_,
                                        .dropout = context.training ? dropout_ : 0,
                                        .random = context.random,
                                        .first_sequence = context.first_sequence};
    const Tensor o = context.rows != nullptr ? ops::attention(q, k, v, {}, *context.rows, T, options)
                                             : ops::attention(q, k, v, {}, options);
    return o_proj_(join_heads(o));
  }

 private:
  // Positions in the sequence of rows of a chunk of T tokens that begins at `first`.
  static Tensor positions(const Rows& rows, std::int64_t T, std::int64_t first) {
    const std::int32_t* indices = rows.indices.data<std::int32_t>();
    return tabulate({rows.count()}, DType::i32, [=](std::int64_t r) { return first + indices[r] % T; });
  }

  std::int64_t heads_;
  std::int64_t kv_heads_;
  std::int64_t window_;
  bool rope_;
  double rope_base_;
  double dropout_;
  std::int64_t d_;
  Linear q_proj_;
  Linear k_proj_;
  Linear v_proj_;
  Linear o_proj_;
};

}  // namespace

ZOO_REGISTER_LAYER(attention) {
  return {
      .name = "attention",
      .description = "softmax attention, full or over a sliding window",
      .paper = "Vaswani et al., Attention is all you need, 2017",
      .options = OptionSchema()
                     .integer("heads", 1, {1, 1024}, "query heads")
                     .integer("kv_heads", 0, {0, 1024}, "key-value heads, each shared by a group; 0 = heads")
                     .integer("window", 0, {0, 1e9}, "keys seen: the last so many, itself included; 0 = all")
                     .sets_state()
                     .choice("positions", "none", {"none", "rope", "learned"},
                             "rope turns queries and keys; learned adds vectors at the embedding")
                     .real("rope_base", 10000, {1, 1e12}, "base of the rotary frequencies")
                     .boolean("bias", false, "biases of the four projections")
                     .real("dropout", 0, {0, 0.99}, "probability of dropping a weight after the softmax")
                     .integer("head_dim", 0, {0, 4096}, "channels of a head; 0 = d_model / heads")
                     .left_out_at_default(),
      .make = make<Attention>(),
      .wishes =
          [](const Options& options) {
            return BackboneWishes{.learned_positions = options.text("positions") == "learned"};
          },
      .test_cases = {{.d_model = 8},
                     {.d_model = 8, .options = {{"heads", 4}, {"kv_heads", 2}, {"bias", true}}},
                     {.d_model = 8, .options = {{"heads", 2}, {"positions", "rope"}}},
                     {.d_model = 12, .options = {{"heads", 2}, {"window", 3}, {"positions", "rope"}}},
                     {.d_model = 6, .options = {{"window", 1}}},
                     {.d_model = 6, .options = {{"heads", 4}, {"kv_heads", 2}, {"head_dim", 4}, {"positions", "rope"}}},
                     {.d_model = 8, .options = {{"heads", 2}, {"dropout", 0.25}, {"positions", "learned"}}}}};
}
