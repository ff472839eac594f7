#include "zoo/gpu/diagonal_scan_wkv.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::ScanSizes;

template <typename T>
struct Tensors {
  std::vector<T> k, v, w, u, p, q, o;
};
struct Inputs : Tensors<float> {
  std::vector<float> dy, dp, dq, d_o;
};
template <typename T>
struct Results {
  std::vector<T> y, p, q, o;
  Tensors<T> gradients;
};

Inputs random_inputs(const ScanSizes& sizes, bool from_the_start) {
  const std::int64_t count = sizes.batch * sizes.length * sizes.channels;
  const std::int64_t states = sizes.batch * sizes.channels;
  Inputs in;
  in.k = normal_numbers(count, 1);
  in.v = normal_numbers(count, 2);
  in.w = normal_numbers(sizes.channels, 3);
  for (float& w : in.w) w = -std::exp(w - 1);
  in.u = normal_numbers(sizes.channels, 4);
  in.p = normal_numbers(states, 5);
  in.q = normal_numbers(states, 6);
  for (float& q : in.q) q = 0.5F + std::abs(q);
  in.o = normal_numbers(states, 7);
  if (from_the_start) {
    in.p.assign(in.p.size(), 0);
    in.q.assign(in.q.size(), 0);
    in.o.assign(in.o.size(), -1e38F);
  }
  in.dy = normal_numbers(count, 8);
  in.dp = normal_numbers(states, 9);
  in.dq = normal_numbers(states, 10);
  in.d_o = normal_numbers(states, 11);
  return in;
}

// The sums themselves, P = p e^o and Q = q e^o, which double precision holds for exponents of this size. The maximum of
// the exponents gives its gradient to the one that it is.
Results<double> plain(const ScanSizes& sizes, const Inputs& in) {
  const auto [batch, length, channels] = sizes;
  Results<double> out;
  Tensors<double>& d = out.gradients;
  for (auto* of_steps : {&out.y, &d.k, &d.v}) of_steps->resize(in.k.size());
  for (auto* of_states : {&out.p, &out.q, &out.o, &d.w, &d.u, &d.p, &d.q, &d.o}) of_states->resize(in.p.size());
  for (std::size_t i = 0; i < in.p.size(); ++i) {
    const double w = in.w[i % channels];
    const double u = in.u[i % channels];
    const auto at = [&, length = length, channels = channels](std::int64_t t) {
      return (i / channels * length + t) * channels + i % channels;
    };
    std::vector<double> P = {in.p[i] * std::exp(double{in.o[i]})};
    std::vector<double> Q = {in.q[i] * std::exp(double{in.o[i]})};
    double largest = in.o[i];
    std::int64_t source = -1;  // the step that the largest exponent comes from, or the first state
    for (std::int64_t t = 0; t < length; ++t) {
      const double k = in.k[at(t)];
      const double now = std::exp(u + k);
      out.y[at(t)] = (P[t] + now * in.v[at(t)]) / (Q[t] + now);
      P.push_back(std::exp(w) * P[t] + std::exp(k) * in.v[at(t)]);
      Q.push_back(std::exp(w) * Q[t] + std::exp(k));
      largest += w;
      if (k > largest) source = t;
      largest = std::max(largest, k);
    }
    out.o[i] = largest;
    out.p[i] = P[length] * std::exp(-largest);
    out.q[i] = Q[length] * std::exp(-largest);
    double dP = in.dp[i] * std::exp(-largest);
    double dQ = in.dq[i] * std::exp(-largest);
    const double rest = in.d_o[i] - out.p[i] * in.dp[i] - out.q[i] * in.dq[i];
    d.w[i] = static_cast<double>(length - 1 - source) * rest;
    for (std::int64_t t = length - 1; t >= 0; --t) {
      const double now = std::exp(u + in.k[at(t)]);
      const double kept = std::exp(double{in.k[at(t)]});
      const double dnumerator = in.dy[at(t)] / (Q[t] + now);
      const double ddenominator = -dnumerator * out.y[at(t)];
      const double through_u = now * (dnumerator * in.v[at(t)] + ddenominator);
      d.u[i] += through_u;
      d.k[at(t)] = through_u + kept * (dP * in.v[at(t)] + dQ) + (t == source ? rest : 0);
      d.v[at(t)] = now * dnumerator + kept * dP;
      d.w[i] += std::exp(w) * (P[t] * dP + Q[t] * dQ);
      dP = std::exp(w) * dP + dnumerator;
      dQ = std::exp(w) * dQ + ddenominator;
    }
    d.p[i] = dP * std::exp(double{in.o[i]});
    d.q[i] = dQ * std::exp(double{in.o[i]});
    d.o[i] = in.p[i] * d.p[i] + in.q[i] * d.q[i] + (source < 0 ? rest : 0);
  }
  return out;
}

// Without gradients of the last state where `in` has none.
Results<float> on_device(const ScanSizes& sizes, const Inputs& in) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> k = copied(in.k), v = copied(in.v), w = copied(in.w), u = copied(in.u), p = copied(in.p);
  const DeviceBuffer<float> q = copied(in.q), o = copied(in.o), dy = copied(in.dy), dp = copied(in.dp);
  const DeviceBuffer<float> dq = copied(in.dq), d_o = copied(in.d_o);
  DeviceBuffer<float> y(k.size()), last_p(p.size()), last_q(p.size()), last_o(p.size());
  const std::int64_t chunks = (sizes.length + cpu::wkv_chunk - 1) / cpu::wkv_chunk;
  DeviceBuffer<float> checkpoints(static_cast<std::size_t>(chunks) * 3 * p.size());
  DeviceBuffer<float> into_k(k.size()), into_v(k.size()), into_w(p.size()), into_u(p.size()), into_p(p.size());
  DeviceBuffer<float> into_q(p.size()), into_o(p.size());
  const cpu::WkvInputs<float> inputs = {k.data(), v.data(), w.data(), u.data(), {p.data(), q.data(), o.data()}};
  wkv_forward(sizes, inputs, {y.data(), {last_p.data(), last_q.data(), last_o.data()}, checkpoints.data()}, stream);
  wkv_backward(
      sizes, inputs, checkpoints.data(), dy.data(), {dp.data(), dq.data(), d_o.data()},
      {into_k.data(), into_v.data(), into_w.data(), into_u.data(), {into_p.data(), into_q.data(), into_o.data()}},
      stream);
  return {to_host(y, stream),
          to_host(last_p, stream),
          to_host(last_q, stream),
          to_host(last_o, stream),
          {to_host(into_k, stream), to_host(into_v, stream), to_host(into_w, stream), to_host(into_u, stream),
           to_host(into_p, stream), to_host(into_q, stream), to_host(into_o, stream)}};
}

// An exponent of size 3 errs by 3 2^-24 and so does its weight, relatively; a state gathers weights that fade, and a
// gradient is a product of three such numbers, some of which cancel.
TEST(Wkv, IsTheDefinition) {
  for (const ScanSizes& sizes : {ScanSizes{1, 1, 1}, ScanSizes{2, 17, 33}, ScanSizes{1, 33, 5}, ScanSizes{1, 300, 2}}) {
    for (const bool from_the_start : {false, true}) {
      const Inputs inputs = random_inputs(sizes, from_the_start);
      const Results<double> expected = plain(sizes, inputs);
      const Results<float> results = on_device(sizes, inputs);
      const auto expect_near = [&](const char* name, const std::vector<float>& result,
                                   const std::vector<double>& exact) {
        EXPECT_LT(relative_error(result, exact), 2e-6) << name << ", " << sizes.length << " steps";
      };
      expect_near("y", results.y, expected.y);
      expect_near("p", results.p, expected.p);
      expect_near("q", results.q, expected.q);
      expect_near("o", results.o, expected.o);
      expect_near("dk", results.gradients.k, expected.gradients.k);
      expect_near("dv", results.gradients.v, expected.gradients.v);
      expect_near("dw", results.gradients.w, expected.gradients.w);
      if (sizes.length > 1 || !from_the_start) expect_near("du", results.gradients.u, expected.gradients.u);
      expect_near("dp", results.gradients.p, expected.gradients.p);
      expect_near("dq", results.gradients.q, expected.gradients.q);
      expect_near("do", results.gradients.o, expected.gradients.o);
    }
  }
}

TEST(Wkv, WhatNobodyWantsMayBeLeftOut) {
  const ScanSizes sizes = {1, 33, 5};
  Inputs inputs = random_inputs(sizes, false);
  for (std::vector<float>* gradient : {&inputs.dp, &inputs.dq, &inputs.d_o}) gradient->assign(gradient->size(), 0);
  const Results<float> with_zeros = on_device(sizes, inputs);
  for (std::vector<float>* gradient : {&inputs.dp, &inputs.dq, &inputs.d_o}) gradient->clear();
  const Results<float> without = on_device(sizes, inputs);
  EXPECT_EQ(without.gradients.k, with_zeros.gradients.k);
  EXPECT_EQ(without.gradients.w, with_zeros.gradients.w);
  EXPECT_EQ(without.gradients.o, with_zeros.gradients.o);

  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> k = copied(inputs.k), v = copied(inputs.v), w = copied(inputs.w), u = copied(inputs.u);
  // In place: the state of a decoder moves on.
  DeviceBuffer<float> p = copied(inputs.p), q = copied(inputs.q), o = copied(inputs.o), y(k.size());
  wkv_forward(sizes, {k.data(), v.data(), w.data(), u.data(), {p.data(), q.data(), o.data()}},
              {y.data(), {p.data(), q.data(), o.data()}, nullptr}, stream);
  EXPECT_EQ(to_host(y, stream), with_zeros.y);
  EXPECT_EQ(to_host(p, stream), with_zeros.p);
}

TEST(Wkv, LargeKeysStayFinite) {
  const ScanSizes sizes = {1, 40, 3};
  Inputs inputs = random_inputs(sizes, true);
  for (float& k : inputs.k) k *= 200;
  const Results<float> results = on_device(sizes, inputs);
  for (const std::vector<float>* values : {&results.y, &results.p, &results.q, &results.gradients.k,
                                           &results.gradients.v, &results.gradients.w, &results.gradients.u}) {
    for (const float value : *values) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST(Wkv, RepeatsBitForBitInEveryOrder) {
  const ScanSizes sizes = {1, 70, 33};
  const Inputs inputs = random_inputs(sizes, false);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.p, second.p);
  EXPECT_EQ(first.gradients.k, second.gradients.k);
  EXPECT_EQ(first.gradients.v, second.gradients.v);
  EXPECT_EQ(first.gradients.w, second.gradients.w);
  EXPECT_EQ(first.gradients.u, second.gradients.u);
  EXPECT_EQ(first.gradients.o, second.gradients.o);
}

TEST(Wkv, LaunchesFitTheDevice) {
  EXPECT_EQ(wkv_forward_kernel({2, 33, 40}).threads, 3U * 32);
  EXPECT_EQ(wkv_forward_kernel({2, 33, 40}).blocks, 4U);
  EXPECT_EQ(wkv_backward_kernel({8, 4096, 512}).threads, 8U * 32);
  // Two rounds of 16 bytes and two sums of each thread, and a number of each lane.
  EXPECT_EQ(wkv_backward_kernel({8, 4096, 512}).shared_bytes, 256U * (2 * 16 + 2 * 4) + 32 * 4);
  EXPECT_THAT(error_of([] { wkv_forward_kernel({1, 1, -3}); }), testing::HasSubstr("wkv on the GPU: channels is -3"));
}

}  // namespace
}  // namespace zoo::gpu
