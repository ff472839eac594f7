#include "zoo/ops/diagonal_scan.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "layer_testing.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/core/tape.h"
#include "zoo/ops/recurrent_cell.h"

namespace zoo {
namespace {

using namespace testing_support;

// Outputs and gradients of a call, from inputs that are drawn by their order.
Tensors run_with_gradients(std::span<const Shape> shapes, const std::function<Tensors(std::span<const Tensor>)>& call) {
  Tensors inputs;
  for (const Shape& shape : shapes) inputs.push_back(normal(shape, 1 + inputs.size(), DType::f32).variable());
  Tensors results = call(inputs), cotangents;
  for (const Tensor& result : results) cotangents.push_back(normal(result.shape(), 50 + cotangents.size(), DType::f32));
  for (const Tensor& gradient : grad(results, inputs, cotangents)) results.push_back(gradient);
  return results;
}

void expect_same_bits_with_two_threads(std::span<const Shape> shapes,
                                       const std::function<Tensors(std::span<const Tensor>)>& call) {
  const int before = threads();
  set_threads(1);
  const Tensors one = run_with_gradients(shapes, call);
  set_threads(2);
  const Tensors two = run_with_gradients(shapes, call);
  set_threads(before);
  ASSERT_EQ(one.size(), two.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    ASSERT_EQ(one[i].defined(), two[i].defined()) << "result " << i;
    if (!one[i].defined()) continue;
    EXPECT_EQ(std::memcmp(one[i].raw(), two[i].raw(), one[i].bytes()), 0) << "result " << i;
  }
}

TEST(DiagonalScan, DoesNotDependOnTheNumberOfThreads) {
  const Shape shapes[] = {{3, 200, 300}, {3, 200, 300}, {3, 300}};
  expect_same_bits_with_two_threads(shapes, [](std::span<const Tensor> in) {
    return Tensors{ops::diagonal_scan(ops::sigmoid(in[0]), in[1], in[2]).h};
  });
}

TEST(SelectiveScan, DoesNotDependOnTheNumberOfThreads) {
  const std::int64_t B = 3, T = 50, E = 300, N = 4;
  const Shape shapes[] = {{B, T, E}, {B, T, E}, {E, N}, {B, T, N}, {B, T, N}, {E}, {B, E, N}};
  expect_same_bits_with_two_threads(shapes, [](std::span<const Tensor> in) {
    const auto scan = ops::selective_scan(in[0], ops::softplus(in[1]), -ops::exp(in[2]), in[3], in[4], in[5], in[6]);
    return Tensors{scan.y, scan.state};
  });
}

TEST(Wkv, DoesNotDependOnTheNumberOfThreads) {
  const Shape shapes[] = {{3, 100, 200}, {3, 100, 200}, {200}, {200}};
  expect_same_bits_with_two_threads(shapes, [](std::span<const Tensor> in) {
    const Tensor zero = Tensor::zeros({3, 200});
    const ops::WkvState start{zero, zero, Tensor::full({3, 200}, -1e38)};
    return Tensors{ops::wkv(in[0], in[1], -ops::exp(in[2]), in[3], start).y};
  });
}

TEST(RecurrentCell, DoesNotDependOnTheNumberOfThreads) {
  const std::int64_t B = 5, T = 20, D = 40;
  const Shape shapes[] = {{B, T, 4 * D}, {4 * D, D}, {4 * D}, {B, D}, {B, D}};
  // The matrix's own gradient is a product of oneDNN's, whose last bits may depend on the threads.
  expect_same_bits_with_two_threads(shapes, [](std::span<const Tensor> in) {
    const auto run = ops::recurrent_cell(ops::Cell::lstm, in[0], (in[1] * 0.1).detach(), in[2], in[3], in[4]);
    return Tensors{run.h, run.last_carried};
  });
}

// The mean as it is defined, with exponentials small enough to be formed.
TEST(Wkv, IsTheWeightedMean) {
  const std::int64_t T = 70, C = 5;
  const Tensor k = normal({1, T, C}, 1), v = normal({1, T, C}, 2), u = normal({C}, 3);
  const Tensor w = -ops::exp(normal({C}, 4));
  const Tensor zero = Tensor::zeros({1, C}, DType::f64);
  const ops::Wkv result = ops::wkv(k, v, w, u, {zero, zero, Tensor::full({1, C}, -1e38, DType::f64)});
  const auto at = [](const Tensor& x, std::int64_t t, std::int64_t c) { return x.data<double>()[t * C + c]; };
  for (std::int64_t t = 0; t < T; ++t) {
    for (std::int64_t c = 0; c < C; ++c) {
      double numerator = 0, denominator = 0;
      for (std::int64_t s = 0; s <= t; ++s) {
        const double bonus = s == t ? at(u, 0, c) : static_cast<double>(t - 1 - s) * at(w, 0, c);
        numerator += std::exp(bonus + at(k, s, c)) * at(v, s, c);
        denominator += std::exp(bonus + at(k, s, c));
      }
      ASSERT_NEAR(at(result.y, t, c), numerator / denominator, 1e-13);
    }
  }
}

// Exponents far outside the range of float32's exponential.
TEST(Wkv, IsFiniteForLargeKeys) {
  const Tensor k = normal({2, 40, 16}, 1, DType::f32) * 1e4, v = normal({2, 40, 16}, 2, DType::f32);
  const Tensor zero = Tensor::zeros({2, 16});
  const Tensor u = normal({16}, 3, DType::f32), w = -ops::exp(normal({16}, 4, DType::f32));
  const Tensor given = k.detach().variable();
  const ops::Wkv result = ops::wkv(given, v, w, u, {zero, zero, Tensor::full({2, 16}, -1e38)});
  const Tensor dk = grad(ops::sum(result.y), {&given, 1})[0];
  for (const Tensor& tensor : {result.y, result.state.p, result.state.q, result.state.o, dk}) {
    for (const float value : tensor.values<float>()) ASSERT_TRUE(std::isfinite(value));
  }
}

// All states at once would be [B,T,E,N]: 4 MiB here.
TEST(SelectiveScan, NeverHoldsAllStates) {
  const std::int64_t T = 512, E = 32, N = 64;
  const Tensor x = normal({1, T, E}, 1, DType::f32).variable();
  const Tensor delta = ops::softplus(normal({1, T, E}, 2, DType::f32)), A = -ops::exp(normal({E, N}, 3, DType::f32));
  const Tensor B = normal({1, T, N}, 4, DType::f32), C = normal({1, T, N}, 5, DType::f32);
  const Tensor D = normal({E}, 6, DType::f32), initial = Tensor::zeros({1, E, N});
  reset_pool_peak();
  const std::size_t before = pool_statistics().bytes_in_use;
  const Tensor y = ops::selective_scan(x, delta, A, B, C, D, initial).y;
  grad(ops::sum(y), {&x, 1});
  EXPECT_LT(pool_statistics().peak_bytes_in_use - before, std::size_t{2} << 20);
}

// A node a token would make the tape of a long sequence as large as its states.
TEST(RecurrentLayers, HaveATapeThatDoesNotGrowWithTheSequence) {
  for (const char* name : {"mamba", "rwkv4", "min_gru", "rnn", "lstm", "gru"}) {
    const OwnedLayer layer = make_layer(name, 8);
    const auto nodes = [&](std::int64_t T) {
      const std::uint64_t first = ops::neg(layer.values()[0]).node()->number();
      return layer(normal({1, T, 8}, 1)).node()->number() - first;
    };
    EXPECT_EQ(nodes(3), nodes(90)) << name;
  }
}

TEST(RecurrentLayers, DecodeWithoutTakingMemoryFromTheSystem) {
  if (!pool_reuses_blocks()) GTEST_SKIP() << "under AddressSanitizer every block comes from the system";
  for (const char* name : {"mamba", "rwkv4", "min_gru", "rnn", "lstm", "gru"}) {
    const NoTape off;
    const OwnedLayer layer = make_layer(name, 16, {}, DType::f32);
    State state = layer.layer->initial_state(1);
    const Tensor x = normal({1, 1, 16}, 1, DType::f32);
    for (int i = 0; i < 10; ++i) run(*layer.layer, x, state);
    const auto before = pool_statistics();
    for (int i = 0; i < 100; ++i) run(*layer.layer, x, state);
    EXPECT_EQ(pool_statistics().system_allocations, before.system_allocations) << name;
    EXPECT_EQ(pool_statistics().bytes_in_use, before.bytes_in_use) << name;
  }
}

TEST(Scans, RefuseShapesThatDoNotFit) {
  const Tensor x = Tensor::zeros({2, 3, 4}), state = Tensor::zeros({2, 4}), row = Tensor::zeros({4});
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message([&] {
                ops::diagonal_scan(x, x, Tensor::zeros({2, 5}));
              }),
              testing::HasSubstr("initial [2, 5]: needs a, b [B,T,C], initial [B,C]"));
  EXPECT_THAT(message([&] {
                ops::wkv(x, x, row, Tensor::zeros({5}), {state, state, state});
              }),
              testing::HasSubstr("u [5]"));
  EXPECT_THAT(message([&] {
                ops::selective_scan(x, x, Tensor::zeros({4, 2}), Tensor::zeros({2, 3, 2}), Tensor::zeros({2, 3, 3}),
                                    row, Tensor::zeros({2, 4, 2}));
              }),
              testing::HasSubstr("C [2, 3, 3]"));
  EXPECT_THAT(message([&] { ops::recurrent_cell(ops::Cell::gru, x, x, row, state); }), testing::HasSubstr("[B,T,3*D]"));
  EXPECT_THAT(message([&] {
                ops::recurrent_cell(ops::Cell::tanh, x, Tensor::zeros({4, 4}), row, state, state);
              }),
              testing::HasSubstr("an LSTM, and no other, carries a second state"));
}

}  // namespace
}  // namespace zoo
