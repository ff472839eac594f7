#include <cmath>
#include <numbers>

#include "zoo/core/plugin.h"
#include "zoo/core/tabulate.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/nn/short_conv.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// y = (conv(u) + b) * (W u + c) + u: a convolution along the sequence, gated by a projection (Arora et al. 2023,
// "Zoology", section 4). The convolution is short, or as long as the sequence with a filter that a small network makes
// from its positions; the long one has no bias of its own.
class BaseConv final : public Layer {
 public:
  explicit BaseConv(Builder& builder)
      : d_model_(builder.d_model()),
        kernel_(builder.options().integer("conv_kernel")),
        max_length_(builder.max_length),
        projection_(builder, "projection", d_model_, d_model_, {.bias = true}) {
    if (kernel_ == 0) {
      throw UsageError("layer base_conv: conv_kernel is 0; it must be a length from 1 on, or -1 for a long filter");
    }
    if (kernel_ > 0) {
      conv_ = ShortConv(builder, "conv.conv", d_model_, kernel_);
    } else {
      filter_in_ = Linear(builder, "conv.filter_mlp.0", 3, 16, {.bias = true});
      filter_out_ = Linear(builder, "conv.filter_mlp.2", 16, d_model_, {.bias = true});
    }
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    if (kernel_ > 0) {
      conv_.start(state, batch);
    } else {
      state.set("u", Tensor::zeros({batch, 0, d_model_}, projection_.dtype()));
    }
    return state;
  }

  Tensor forward(const Tensor& u, State& state, const Context&) override {
    return (kernel_ > 0 ? conv_(u, state) : long_conv(u, state)) * projection_(u) + u;
  }

 private:
  // Inputs older than max_length - 1 steps lie outside the filter.
  Tensor long_conv(const Tensor& u, State& state) const {
    const Tensor history = append_to_state(state, "u", u, max_length_ - 1);
    const std::int64_t T = u.dim(1), past = history.dim(1) - T;
    const std::int64_t taps = std::min(history.dim(1), max_length_);
    const Tensor filter = filter_out_(ops::relu(filter_in_(positional_features(taps))));  // [taps, D]
    if (past == 0 && taps == T) return ops::long_conv(u, filter);
    // With a past, only the new outputs: a short convolution with as many taps as there are inputs.
    const Tensor weight = ops::transpose(ops::gather_rows(filter, reversed(taps)));
    const Tensor before = past >= taps - 1 ? ops::slice(history, 1, past - (taps - 1), past)
                                           : ops::pad(ops::slice(history, 1, 0, past), 1, taps - 1 - past, 0);
    return ops::causal_conv(u, weight, {}, before).y;
  }

  // Of lags 0 .. taps-1: t, cos(f w), -sin(f w) with t from 0 to 1 over max_length, w = 2 pi lag / max_length, and the
  // lowest frequency of Hyena's features, f = 1e-4 (Poli et al. 2023).
  Tensor positional_features(std::int64_t taps) const {
    const double length = static_cast<double>(max_length_);
    return tabulate({taps, 3}, projection_.dtype(), [&](std::int64_t i) {
      const auto lag = static_cast<double>(i / 3);
      const double angle = 1e-4 * 2 * std::numbers::pi * lag / length;
      if (i % 3 == 0) return max_length_ > 1 ? lag / (length - 1) : 0;
      return i % 3 == 1 ? std::cos(angle) : -std::sin(angle);
    });
  }

  static Tensor reversed(std::int64_t count) {
    return tabulate({count}, DType::i32, [=](std::int64_t i) { return count - 1 - i; });
  }

  std::int64_t d_model_;
  std::int64_t kernel_;
  std::int64_t max_length_;
  Linear projection_;
  ShortConv conv_;
  Linear filter_in_;
  Linear filter_out_;
};

}  // namespace

ZOO_REGISTER_LAYER(base_conv) {
  return {.name = "base_conv",
          .description = "a gated convolution",
          .paper = "Arora et al., Zoology: measuring and improving recall in efficient language models, 2023",
          .options = OptionSchema().integer("conv_kernel", 3, {-1, 4096},
                                            "length of the convolution; -1 = as long as the sequence, implicit"),
          .make = make<BaseConv>(),
          .test_cases = {{.d_model = 8},
                         {.d_model = 6, .options = {{"conv_kernel", 1}}},
                         {.d_model = 5, .options = {{"conv_kernel", 4}}},
                         {.d_model = 8, .options = {{"conv_kernel", -1}}}}};
}
