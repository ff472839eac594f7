#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

#include "tests/unit/layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/ops/ops.h"

// What every layer does with a state that is not its own, and with numbers that are not finite.
namespace zoo {
namespace {

using testing_support::distance;
using testing_support::make_layer;
using testing_support::normal;
using testing_support::OwnedLayer;

class BadInput : public testing::TestWithParam<std::string> {
 protected:
  // The layer as in the first of its test cases.
  static OwnedLayer layer(const std::string& name) {
    const LayerCase& test_case = layer_registry().get(name).test_cases.front();
    return make_layer(name, test_case.d_model, test_case.options, DType::f64);
  }
  static std::int64_t width(const std::string& name) { return layer_registry().get(name).test_cases.front().d_model; }
};

std::set<std::string> names(const State& state) {
  std::set<std::string> result;
  for (const auto& [name, tensor] : state.entries()) result.insert(name);
  return result;
}

TEST_P(BadInput, AStateOfAnotherBatchSizeIsRefused) {
  const OwnedLayer owned = layer(GetParam());
  State state = owned.layer->initial_state(3);
  run(*owned.layer, normal({3, 5, width(GetParam())}, 1), state);
  if (state.entries().empty()) GTEST_SKIP() << "it has no state";
  EXPECT_THROW(run(*owned.layer, normal({2, 5, width(GetParam())}, 2), state), Error);
}

TEST_P(BadInput, AStateOfAnotherLayerIsRefused) {
  const OwnedLayer owned = layer(GetParam());
  const Tensor x = normal({2, 5, width(GetParam())}, 1);
  State own = owned.layer->initial_state(2);
  run(*owned.layer, x, own);
  for (const std::string& other : layer_registry().names()) {
    const OwnedLayer stranger = layer(other);
    State state = stranger.layer->initial_state(2);
    run(*stranger.layer, normal({2, 5, width(other)}, 1), state);
    // A layer whose state has the same names may take it for its own when the sizes are its own, too.
    const std::set<std::string> known = names(state), needed = names(own);
    if (std::ranges::includes(known, needed)) continue;
    EXPECT_THROW(run(*owned.layer, x, state), Error) << "of " << other;
  }
}

TEST_P(BadInput, AnotherWidthIsRefused) {
  const OwnedLayer owned = layer(GetParam());
  State state = owned.layer->initial_state(2);
  EXPECT_THROW(run(*owned.layer, normal({2, 5, width(GetParam()) + 1}, 1), state), Error);
}

// What is not finite stays in its sequence, and reaches no chunk of 64 steps before its own.
TEST_P(BadInput, WhatIsNotFiniteStaysInItsSequenceAndItsFuture) {
  const std::int64_t D = width(GetParam()), T = 150, bad = 131, edge = 128;
  for (const double value : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    const OwnedLayer owned = layer(GetParam());
    const Tensor x = normal({2, T, D}, 1);
    const Tensor y = owned(x);
    Tensor spoilt = x.clone();
    spoilt.data<double>()[bad * D] = value;
    const Tensor after = owned(spoilt);
    EXPECT_LT(distance(ops::slice(after, 0, 1, 2), ops::slice(y, 0, 1, 2)), 1e-12) << "the other sequence";
    EXPECT_LT(distance(ops::slice(after, 1, 0, edge), ops::slice(y, 1, 0, edge)), 1e-12) << "steps before";
  }
}

INSTANTIATE_TEST_SUITE_P(, BadInput, testing::ValuesIn(layer_registry().names()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace zoo
