#include "zoo/core/tape.h"

#include <gtest/gtest.h>

#include "zoo/core/error.h"
#include "zoo/ops/ops.h"

namespace zoo {
namespace {

Tensor variable(std::initializer_list<double> values) {
  return Tensor::from<double>({static_cast<std::int64_t>(values.size())}, values).variable();
}

TEST(Tape, GradientsAddUpOverSeveralUses) {
  const Tensor x = variable({3});
  const Tensor y = x * x + x;
  EXPECT_EQ(grad(y, std::array{x})[0].item(), 7);
}

TEST(Tape, GradientsOfGradients) {
  const Tensor x = variable({2});
  Tensor y = x * x * x * x;
  for (const double expected : {4. * 8, 12. * 4, 24. * 2, 24.}) {
    y = grad(y, std::array{x}, {.create_graph = true})[0];
    EXPECT_EQ(y.item(), expected);
  }
}

TEST(Tape, AGradientWithoutCreateGraphIsOffTheTape) {
  const Tensor x = variable({2});
  EXPECT_FALSE(grad(x * x, std::array{x})[0].requires_grad());
  EXPECT_TRUE(grad(x * x, std::array{x}, {.create_graph = true})[0].requires_grad());
}

TEST(Tape, TheOuterGradientFlowsThroughAnInnerGradientStep) {
  // w1 = w0 - eta d/dw (w0 a - b)^2; loss = (w1 c)^2. By hand: dw1/da = -eta (4 w0 a - 2 b).
  const Tensor w0 = variable({0.5});
  const Tensor a = variable({3});
  const Tensor b = variable({2});
  const Tensor c = variable({-1.5});
  const Tensor inner = ops::square(w0 * a - b);
  const Tensor w1 = w0 - 0.1 * grad(inner, std::array{w0}, {.create_graph = true})[0];
  const Tensor loss = ops::square(w1 * c);
  const double w1_value = 0.5 - 0.1 * 2 * (1.5 - 2) * 3;
  const Tensors grads = grad(loss, std::array{a, b, c, w0});
  const double factor = 2 * w1_value * 1.5 * 1.5;
  EXPECT_DOUBLE_EQ(w1.item(), w1_value);
  EXPECT_DOUBLE_EQ(grads[0].item(), factor * -0.1 * (4 * 0.5 * 3 - 2 * 2));
  EXPECT_DOUBLE_EQ(grads[1].item(), factor * -0.1 * (-2 * 3));
  EXPECT_DOUBLE_EQ(grads[2].item(), 2 * w1_value * -1.5 * w1_value);
  EXPECT_DOUBLE_EQ(grads[3].item(), factor * (1 - 0.1 * 2 * 9));
}

TEST(Tape, GradientsWithRespectToAnIntermediateResult) {
  const Tensor x = variable({2});
  const Tensor y = x * x;
  const Tensor z = y * x;
  const Tensors grads = grad(z, std::array{y, x});
  EXPECT_EQ(grads[0].item(), 2);              // x
  EXPECT_EQ(grads[1].item(), 4 + 2 * 2 * 2);  // y + x dy/dx: the whole derivative
}

TEST(Tape, AnInputWithoutInfluenceHasNoGradient) {
  const Tensor x = variable({2});
  const Tensor other = variable({5});
  EXPECT_FALSE(grad(x * x, std::array{other})[0].defined());
}

TEST(Tape, SeveralOutputsWithTheirOwnGradients) {
  const Tensor x = variable({1, 2});
  const Tensor outputs[] = {x * x, 3.0 * x};
  const Tensor seeds[] = {Tensor::from<double>({2}, {10, 100}), Tensor::from<double>({2}, {1, 2})};
  const Tensor g = grad(outputs, std::array{x}, seeds)[0];
  EXPECT_EQ(g.data<double>()[0], 10 * 2 * 1 + 3);
  EXPECT_EQ(g.data<double>()[1], 100 * 2 * 2 + 6);
}

TEST(Tape, CallersGradientsAreNotOverwritten) {
  const Tensor x = variable({1, 2});
  const Tensor seed = Tensor::from<double>({2}, {1, 1});
  grad(std::array{x + x}, std::array{x}, std::array{seed});
  grad(std::array{x + x * x}, std::array{x}, std::array{seed});
  EXPECT_EQ(seed.data<double>()[0], 1);
}

TEST(Tape, NothingIsRecordedWhileItIsOff) {
  const Tensor x = variable({1});
  {
    const NoTape off;
    EXPECT_FALSE((x * x).requires_grad());
    EXPECT_FALSE(taping());
  }
  EXPECT_TRUE((x * x).requires_grad());
}

TEST(Tape, ALongTapeIsDestroyedWithoutRecursion) {
  Tensor x = variable({1});
  for (int i = 0; i < 300000; ++i) x = x + 1.0;
  EXPECT_EQ(x.item(), 300001);
}

TEST(Tape, ALongTapeIsWalked) {
  const Tensor x = variable({1});
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = y + x;
  EXPECT_EQ(grad(y, std::array{x}, {.release_tape = true})[0].item(), 100001);
}

TEST(Tape, AReleasedTapeIsNotWalkedAgain) {
  const Tensor x = variable({2});
  const Tensor y = x * x;
  grad(y, std::array{x}, {.release_tape = true});
  EXPECT_THROW(grad(y, std::array{x}), Error);
}

TEST(Tape, SaysWhatCannotBeDifferentiated) {
  const Tensor x = variable({1, 2});
  const Tensor constant = Tensor::scalar(1, DType::f64);
  EXPECT_THROW(grad(constant, std::array{x}), Error);
  EXPECT_THROW(grad(ops::sum(x), std::array{constant}), Error);
  EXPECT_THROW(grad(x * x, std::array{x}), Error) << "two elements need an output gradient";
}

}  // namespace
}  // namespace zoo
