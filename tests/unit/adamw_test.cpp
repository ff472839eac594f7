#include "zoo/nn/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "zoo/core/random.h"

namespace zoo {
namespace {

Parameters two_parameters() {
  return {Parameter({.name = "a", .shape = {3, 5}, .initializer = Initializer::normal(1)}),
          Parameter({.name = "b",
                     .shape = {7},
                     .initializer = Initializer::normal(1),
                     .decay = false,
                     .learning_rate_factor = 0.5})};
}

// The algorithm of Loshchilov and Hutter, in double, one element at a time.
struct Reference {
  double value;
  double m = 0;
  double v = 0;
  void step(int t, double gradient, double rate, double decay) {
    m = 0.9 * m + 0.1 * gradient;
    v = 0.999 * v + 0.001 * gradient * gradient;
    value -= rate * decay * value;
    value -= rate * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
  }
};

TEST(AdamW, FollowsThePaper) {
  const Parameters parameters = two_parameters();
  Tensor slab = initialize(parameters, 3);
  AdamW optimizer(parameters, slab, {.weight_decay = 0.1, .clip = {}});
  std::vector<Reference> references;
  for (const float value : slab.values<float>()) references.push_back({value});
  RandomStream random(RandomKey::of(1, "gradients"));
  for (int t = 1; t <= 20; ++t) {
    Tensors gradients{Tensor::empty({3, 5}), Tensor::empty({7})};
    std::size_t at = 0;
    for (std::size_t p = 0; p < 2; ++p) {
      for (std::int64_t i = 0; i < gradients[p].size(); ++i, ++at) {
        gradients[p].data<float>()[i] = static_cast<float>(random.normal());
        references[at].step(t, gradients[p].data<float>()[i], p == 0 ? 1e-2 : 0.5e-2, p == 0 ? 0.1 : 0);
      }
    }
    optimizer.accumulate(gradients);
    optimizer.step(1e-2);
  }
  // Twenty steps of at most 1e-2 each, every one rounded a few times to 24 bits of values near 1.
  for (std::size_t i = 0; i < references.size(); ++i) {
    EXPECT_NEAR(slab.values<float>()[i], references[i].value, 20 * 4 * 0x1p-24) << i;
  }
}

TEST(AdamW, AccumulatesPartsOfABatch) {
  const Parameters parameters = two_parameters();
  Tensor slabs[] = {initialize(parameters, 3), Tensor{}};
  AdamW whole(parameters, slabs[0], {});
  const Parameters again = two_parameters();
  slabs[1] = initialize(again, 3);
  AdamW parts(again, slabs[1], {});
  // Small whole numbers, so that the order of adding does not matter.
  whole.accumulate({Tensor::full({3, 5}, 6), Tensor::full({7}, -2)});
  parts.accumulate({Tensor::full({3, 5}, 4), Tensor{}});
  parts.accumulate({Tensor::full({3, 5}, 2), Tensor::full({7}, -2)});
  whole.step(0.1);
  parts.step(0.1);
  for (std::size_t i = 0; i < 22; ++i) EXPECT_EQ(slabs[0].values<float>()[i], slabs[1].values<float>()[i]);
}

TEST(AdamW, ClipsTheNormOfTheWholeGradient) {
  const Parameters parameters = two_parameters();
  Tensor slab = initialize(parameters, 3);
  AdamW optimizer(parameters, slab, {.beta1 = 0, .weight_decay = 0, .clip = 1.0});
  optimizer.accumulate({Tensor::full({3, 5}, 3), Tensor::full({7}, 4)});
  optimizer.step(0.1);
  // With beta1 = 0 the first moment is the clipped gradient.
  const double norm = std::sqrt(15 * 9.0 + 7 * 16.0);
  EXPECT_NEAR(optimizer.moment1().values<float>()[0], 3 / norm, 1e-6);
  EXPECT_NEAR(optimizer.moment1().values<float>()[20], 4 / norm, 1e-6);
}

}  // namespace
}  // namespace zoo
