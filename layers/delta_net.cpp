#include "layers/delta/frame.h"
#include "zoo/core/plugin.h"

namespace {

using namespace zoo;

// Yang et al. 2024, "Parallelizing linear transformers with the delta rule over sequence length": what is stored under
// a key is replaced, for each head, between the projections of delta/frame.h,
//
//   e_t = beta_t (v_t - k_t S_{t-1});  S_t = S_{t-1} + k_t^T e_t;  o_t = q_t S_t
class DeltaNet final : public Layer {
 public:
  explicit DeltaNet(Builder& builder) : frame_(builder, settings(builder)) {}

  State initial_state(std::int64_t batch) const override { return frame_.initial_state(batch); }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    return frame_(x, /*log_a=*/{}, state, context);
  }

 private:
  static delta::FrameSettings settings(const Builder& builder) {
    const std::int64_t heads = builder.options().integer("heads");
    const double d = static_cast<double>(builder.d_model()) / static_cast<double>(heads);
    return {.heads = heads,
            .d_k = delta::whole_width(builder, "delta_net", "expand_k", d),
            .d_v = delta::whole_width(builder, "delta_net", "expand_v", d)};
  }

  delta::Frame frame_;
};

}  // namespace

ZOO_REGISTER_LAYER(delta_net) {
  return {.name = "delta_net",
          .description = "linear attention that replaces what is stored under a key, by the delta rule",
          .paper = "Yang et al., Parallelizing linear transformers with the delta rule over sequence length, 2024",
          .options = delta::with_frame_options(
              OptionSchema()
                  .integer("heads", 4, {1, 1024}, "heads")
                  .real("expand_k", 1, {1e-3, 64}, "width of the keys as a multiple of d_model")
                  .sets_state()
                  .real("expand_v", 1, {1e-3, 64}, "width of the values as a multiple of d_model"),
              /*gate=*/false),
          .make = make<DeltaNet>(),
          .test_cases = {
              {.d_model = 8},
              {.d_model = 8, .options = {{"heads", 2}, {"gate", true}, {"conv_kernel", 2}}},
              {.d_model = 6, .options = {{"heads", 1}, {"expand_k", 0.5}, {"expand_v", 1.5}}},
              {.d_model = 10,
               .options = {{"heads", 2}, {"negative_eigenvalues", true}, {"conv_kernel", 1}, {"norm_eps", 1e-2}}}}};
}
