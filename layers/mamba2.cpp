#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/norm.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/short_conv.h"
#include "zoo/nn/step_size.h"
#include "zoo/ops/state_space_dual.h"

namespace {

using namespace zoo;

// ln of a draw from U(1, 16).
void draw_log_decay_rate(std::span<double> values, RandomStream& random) {
  for (double& value : values) value = std::log(1 + 15 * random.uniform());
}

// The state-space dual layer of Mamba-2 (Dao and Gu 2024, section 7 and listing 1):
//
//   z, xBC, dt = W_in u;  x, B, C = silu(conv(xBC));  dt = softplus(dt + dt_bias);  A = -exp(A_log)
//   S_t = exp(A dt_t) S_{t-1} + dt_t B_t x_t^T,  y_t = C_t S_t + D x_t
//   out = W_out RMSNorm(y * silu(z))
//
// Heads of x share the B and C of their group; so does each part of the norm.
class Mamba2 final : public Layer {
 public:
  explicit Mamba2(Builder& builder)
      : E_(builder.d_model() * builder.options().integer("expand")),
        N_(builder.options().integer("state")),
        P_(builder.options().integer("head_dim")),
        G_(builder.options().integer("groups")),
        H_(count_heads(E_, P_, G_)),
        in_weight_(builder.parameter("in_proj.weight", {2 * E_ + 2 * G_ * N_ + H_, builder.d_model()},
                                     Initializer::linear_weight())),
        conv_(builder, "conv1d", E_ + 2 * G_ * N_, builder.options().integer("conv_kernel"),
              {.bias = builder.options().boolean("conv_bias")}),
        dt_bias_(builder.parameter("dt_bias", {H_}, step_size_bias(), {.decay = false})),
        A_log_(builder.parameter("A_log", {H_}, Initializer::custom(draw_log_decay_rate), {.decay = false})),
        D_(builder.parameter("D", {H_}, Initializer::constant(1), {.decay = false})),
        norm_weight_(builder.parameter("norm.weight", {E_}, Initializer::constant(1))),
        out_proj_(builder, "out_proj", E_, builder.d_model(),
                  {.bias = builder.options().boolean("bias"), .weight = Initializer::output_projection()}),
        norm_eps_(builder.options().real("norm_eps")),
        dt_min_(builder.options().real("dt_min")),
        dt_max_(builder.options().real("dt_max")) {
    if (dt_max_ > 0 && dt_max_ < dt_min_) {
      throw UsageError("layer mamba2: dt_min {} is above dt_max {}; steps lie between them", dt_min_, dt_max_);
    }
    if (!builder.options().boolean("bias")) return;
    in_bias_ = builder.parameter("in_proj.bias", {2 * E_ + 2 * G_ * N_ + H_}, Initializer::constant(0));
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    conv_.start(state, batch);
    state.set("S", Tensor::zeros({batch, H_, N_, P_}, out_proj_.dtype()));
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& u, State& state, const Context& context) override {
    const std::int64_t shared = G_ * N_;  // channels of B, and of C
    // Three products cost what one does; the parts of one would have to be copied.
    const Tensors W_in = ops::split(in_weight_, 0, {E_, E_ + 2 * shared, H_});
    const Tensors b_in = in_bias_.defined() ? ops::split(in_bias_, 0, {E_, E_ + 2 * shared, H_}) : Tensors(3);
    const Tensor z = ops::linear(read_rows(u, context), W_in[0], b_in[0]);
    const Tensors xBC = conv_.silu(ops::linear(u, W_in[1], b_in[1]), state, {E_, shared, shared});
    const Tensor dt_bias = in_bias_.defined() ? b_in[2] + dt_bias_.value() : dt_bias_.value();
    const Tensor dt = limited(ops::softplus(ops::linear(u, W_in[2], dt_bias)));  // [B,T,H]
    const Tensor x = split_heads(xBC[0], H_);
    const Tensor B = split_heads(xBC[1], G_);
    const Tensor C = split_heads(xBC[2], G_);

    const ops::Recurrence result = ops::state_space_dual(C, B, x, state.get("S"), dt, -ops::exp(A_log_), D_);
    state.set("S", result.state);
    return out_proj_(norm(ops::silu_gate(read_rows(join_heads(result.y), context), z)));
  }

 private:
  static std::int64_t count_heads(std::int64_t channels, std::int64_t width, std::int64_t groups) {
    if (channels % width != 0) {
      throw UsageError(
          "layer mamba2: expand * d_model = {} is not divisible by head_dim {}; choose a head_dim that divides it",
          channels, width);
    }
    if (channels / width % groups != 0) {
      throw UsageError("layer mamba2: {} heads (expand * d_model / head_dim) cannot form {} groups of equal size",
                       channels / width, groups);
    }
    return channels / width;
  }

  // RMSNorm over the channels of each group.
  Tensor norm(const Tensor& y) const {
    if (G_ == 1) return ops::rms_norm(y, norm_weight_, norm_eps_);
    return join_heads(ops::rms_norm(split_heads(y, G_), {}, norm_eps_)) * norm_weight_;
  }

  // Steps between dt_min and dt_max.
  Tensor limited(Tensor dt) const {
    if (dt_min_ > 0) dt = ops::maximum(dt, Tensor::scalar(dt_min_, dt.dtype()));
    if (dt_max_ > 0) dt = ops::minimum(dt, Tensor::scalar(dt_max_, dt.dtype()));
    return dt;
  }

  std::int64_t E_;  // channels of x
  std::int64_t N_;  // of B and C: rows of the state
  std::int64_t P_;  // channels of a head
  std::int64_t G_;  // groups
  std::int64_t H_;  // heads
  Parameter in_weight_;
  Parameter in_bias_;  // undefined without the option bias
  ShortConv conv_;
  Parameter dt_bias_;
  Parameter A_log_;
  Parameter D_;
  Parameter norm_weight_;
  Linear out_proj_;
  double norm_eps_;
  double dt_min_;
  double dt_max_;
};

}  // namespace

ZOO_REGISTER_LAYER(mamba2) {
  return {.name = "mamba2",
          .description = "a selective state-space model with one decay a head: state-space duality",
          .paper = "Dao and Gu, Transformers are SSMs, 2024",
          .options = OptionSchema()
                         .integer("state", 128, {1, 4096}, "N, rows of a head's state")
                         .sets_state()
                         .integer("expand", 2, {1, 64}, "channels of x as a multiple of d_model")
                         .integer("head_dim", 64, {1, 4096}, "P, channels of a head")
                         .integer("groups", 1, {1, 1024}, "groups of heads that share B and C")
                         .integer("conv_kernel", 4, {1, 256}, "length of the convolution over x, B and C")
                         .boolean("bias", false, "biases of the projections in and out")
                         .left_out_at_default()
                         .boolean("conv_bias", true, "a bias of the convolution")
                         .left_out_at_default()
                         .real("norm_eps", 1e-5, {0, 1}, "epsilon of the norm")
                         .left_out_at_default()
                         .real("dt_min", 0, {0, 1e9}, "shortest step")
                         .left_out_at_default()
                         .real("dt_max", 0, {0, 1e9}, "longest step; 0 = any")
                         .left_out_at_default(),
          .make = make<Mamba2>(),
          .test_cases = {{.d_model = 8, .options = {{"state", 6}, {"head_dim", 4}}},
                         {.d_model = 8, .options = {{"state", 5}, {"head_dim", 2}, {"groups", 2}, {"conv_kernel", 3}}},
                         {.d_model = 6,
                          .options = {{"state", 3},
                                      {"head_dim", 4},
                                      {"bias", true},
                                      {"conv_bias", false},
                                      {"dt_min", 0.004},
                                      {"dt_max", 0.05}}},
                         {.d_model = 7, .options = {{"state", 16}, {"expand", 3}, {"head_dim", 3}, {"groups", 7}}}}};
}
