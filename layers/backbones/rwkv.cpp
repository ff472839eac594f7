#include <cmath>

#include "zoo/core/plugin.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/blocks.h"
#include "zoo/nn/norm.h"

namespace {

using namespace zoo;

// The blocks of RWKV-4 (Peng et al. 2023, section 3.1), around any mixer:
//
//   r = ln0(x);  for each block:  r += mixer(ln1(r));  r += feed_forward(ln2(r))
//
// with LayerNorm, and ln_out behind the last one. Without a feed-forward there is no second half.
//
// The public checkpoints halve r after every so many blocks outside of training, so that it stays within float16, and
// divide what later blocks add alike: LN(r / 2^n) with epsilon e is LN(r) with epsilon 4^n e.
class RwkvBackbone final : public Backbone {
 public:
  RwkvBackbone(Builder& builder, BackboneParts parts)
      : parts_(std::move(parts)),
        dropout_(builder.options()),
        ln0_(builder, "blocks.0.ln0", builder.options().real("norm_eps")) {
    const double epsilon = builder.options().real("norm_eps");
    const std::int64_t every = builder.options().integer("rescale_every");
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      Builder part = builder.part(fmt::format("blocks.{}.", block));
      const double halved = halvings(block, every);
      ln1_.emplace_back(part, "ln1", epsilon, halved);
      if (!parts_.feed_forwards.empty()) ln2_.emplace_back(part, "ln2", epsilon, halved);
    }
    // The release's last norm does not follow the option.
    ln_out_.emplace_back(builder, "ln_out", 1e-5, halvings(parts_.mixers.size(), every));
  }

  Tensor forward(const Tensor& x, ModelState& state, const Context& context) override {
    Tensor r = ln0_(dropout_.embedding(x, context));
    for (std::size_t block = 0; block < parts_.mixers.size(); ++block) {
      const Context own = block_context(parts_, block, context);
      r = run_block(r, state, own, [=, this](const Tensor& input, ModelState& own_state) {
        return one(block, input, own_state, own);
      });
    }
    return ln_out_[0](read_rows_once(r, context), context);
  }

 private:
  Tensor one(std::size_t block, const Tensor& x, ModelState& state, const Context& context) {
    return residual_halves(
        parts_, block, dropout_, x, state, context, [&](const Tensor& r) { return ln1_[block](r, context); },
        [&](const Tensor& sum) { return ln2_[block](sum, context); });
  }

  // LayerNorm of r, as if it had been halved so many times, but for training.
  class HalvedNorm {
   public:
    HalvedNorm(Builder& builder, const std::string& name, double epsilon, double halvings)
        : weight_(builder.parameter(name + ".weight", {builder.d_model()}, Initializer::constant(1))),
          bias_(builder.parameter(name + ".bias", {builder.d_model()}, Initializer::constant(0))),
          epsilon_(epsilon),
          halvings_(halvings) {}

    Tensor operator()(const Tensor& r, const Context& context) const {
      return ops::layer_norm(r, weight_, bias_, context.training ? epsilon_ : epsilon_ * std::pow(4.0, halvings_));
    }

   private:
    Parameter weight_;
    Parameter bias_;
    double epsilon_;
    double halvings_;
  };

  static double halvings(std::size_t blocks_before, std::int64_t every) {
    return every > 0 ? static_cast<double>(static_cast<std::int64_t>(blocks_before) / every) : 0;
  }

  BackboneParts parts_;
  ResidualDropout dropout_;
  LayerNorm ln0_;
  std::vector<HalvedNorm> ln1_;
  std::vector<HalvedNorm> ln2_;
  std::vector<HalvedNorm> ln_out_;
};

}  // namespace

ZOO_REGISTER_BACKBONE(rwkv) {
  return {.name = "rwkv",
          .description = "RWKV-4's: pre-norm blocks with LayerNorm, and one more on the embedding",
          .paper = "Peng et al., RWKV: reinventing RNNs for the transformer era, 2023",
          .options = residual_options(/*embedding_dropout=*/0)
                         .real("norm_eps", 1e-5, {0, 1}, "epsilon of the norms but the last, which has 1e-5")
                         .integer("rescale_every", 0, {0, 1 << 20},
                                  "the residuals are halved after every so many blocks, but for training; 0 = never"),
          .initialization = residual_initialization,
          .make = [](Builder& builder, BackboneParts parts) -> std::unique_ptr<Backbone> {
            return std::make_unique<RwkvBackbone>(builder, std::move(parts));
          }};
}
