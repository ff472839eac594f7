#pragma once

#include <gmock/gmock.h>

#include <string>

#include "zoo/check/conformance.h"
#include "zoo/ops/ops.h"

/// For layers that are broken on purpose, each in one way: the sound one that they derive from, and what a test asks.
namespace zoo::test {

/// A sound layer to break: h_t = (h_{t-1} + tanh(W x_t)) / 2, y = U h_t + x_t.
class Sound : public Layer {
 public:
  explicit Sound(Builder& builder)
      : d_model_(builder.d_model()),
        w_(builder.parameter("w", {d_model_, d_model_}, Initializer::linear_weight())),
        u_(builder.parameter("u", {d_model_, d_model_}, Initializer::output_projection())) {}

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("h", Tensor::zeros({batch, 1, d_model_}, w_.value().dtype()));
    return state;
  }

  Tensor forward(const Tensor& x, State& state, const Context&) override {
    const Tensor input = ops::tanh(ops::linear(x, w_));
    Tensor h = state.get("h");
    Tensors all;
    for (std::int64_t t = 0; t < x.dim(1); ++t) {
      h = ops::scale(h + ops::slice(input, 1, t, t + 1), 0.5);
      all.push_back(h);
    }
    state.set("h", h);
    return ops::linear(ops::concat(all, 1), u_) + x;
  }

 protected:
  std::int64_t d_model_;
  Parameter w_, u_;
};

template <typename L>
LayerEntry entry_of() {
  LayerEntry entry;
  entry.name = "broken";
  entry.make = make<L>();
  entry.test_cases = {{.d_model = 6}};
  return entry;
}

template <typename L>
Finding finding_of(const std::string& check) {
  CheckOptions options;
  options.only_checks = {check};
  return check_layer(entry_of<L>(), options).at(0);
}

template <typename L>
void expect_caught(const std::string& check, const std::string& words = "") {
  const Finding finding = finding_of<L>(check);
  EXPECT_EQ(finding.outcome, Outcome::failed) << finding.message;
  EXPECT_THAT(finding.message, testing::HasSubstr(words));
}

}  // namespace zoo::test
