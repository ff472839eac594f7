#include "zoo/gpu/recurrent_cell.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::Cell;
using cpu::CellSizes;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> x, weight, bias, hidden, carried, dh, dcarried;
};

template <typename T>
struct Results {
  std::vector<T> h, carried, dx, dgates, dhidden, dfirst_carried;
};

Inputs random_inputs(const CellSizes& sizes) {
  const std::int64_t gates = sizes.gates() * sizes.width;
  const std::int64_t states = sizes.batch * sizes.width;
  const std::int64_t carried = sizes.cell == Cell::lstm ? states : 0;
  const float scale = 1 / std::sqrt(static_cast<float>(sizes.width));
  return {normal_numbers(sizes.batch * sizes.length * gates, 1),
          normal_numbers(gates * sizes.width, 2, scale),
          normal_numbers(gates, 3),
          normal_numbers(states, 4),
          normal_numbers(carried, 5),
          normal_numbers(sizes.batch * sizes.length * sizes.width, 6),
          normal_numbers(carried, 7)};
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// One sequence, a step at a time, with the gradients of g = h weight^T + bias and of x.
void run(const CellSizes& sizes, const Inputs& in, std::int64_t b, Results<double>& out) {
  const std::int64_t W = sizes.width, L = sizes.length, G = sizes.gates();
  std::vector<std::vector<double>> h = {{in.hidden.begin() + b * W, in.hidden.begin() + (b + 1) * W}};
  std::vector<std::vector<double>> c, g;
  const bool lstm = sizes.cell == Cell::lstm;
  if (lstm) c.push_back({in.carried.begin() + b * W, in.carried.begin() + (b + 1) * W});
  const auto x = [&](std::int64_t t, std::int64_t gate, std::int64_t d) {
    return double{in.x[((b * L + t) * G + gate) * W + d]};
  };
  for (std::int64_t t = 0; t < L; ++t) {
    g.emplace_back(in.bias.begin(), in.bias.end());
    h.emplace_back(W);
    if (lstm) c.emplace_back(W);
    for (std::int64_t j = 0; j < G * W; ++j) {
      for (std::int64_t d = 0; d < W; ++d) g[t][j] += double{in.weight[j * W + d]} * h[t][d];
    }
    for (std::int64_t d = 0; d < W; ++d) {
      const auto sum = [&](std::int64_t gate) { return x(t, gate, d) + g[t][gate * W + d]; };
      if (sizes.cell == Cell::tanh) {
        h[t + 1][d] = std::tanh(sum(0));
      } else if (lstm) {
        c[t + 1][d] = sigmoid(sum(1)) * c[t][d] + sigmoid(sum(0)) * std::tanh(sum(2));
        h[t + 1][d] = sigmoid(sum(3)) * std::tanh(c[t + 1][d]);
      } else {
        const double n = std::tanh(x(t, 2, d) + sigmoid(sum(0)) * g[t][2 * W + d]);
        h[t + 1][d] = (1 - sigmoid(sum(1))) * n + sigmoid(sum(1)) * h[t][d];
      }
      out.h[(b * L + t) * W + d] = h[t + 1][d];
    }
  }
  std::vector<double> dh(W), dc(lstm ? W : 0);
  for (std::int64_t d = 0; d < W && lstm; ++d) {
    out.carried[b * W + d] = c[L][d];
    dc[d] = in.dcarried[b * W + d];
  }
  for (std::int64_t t = L - 1; t >= 0; --t) {
    double* dx = out.dx.data() + (b * L + t) * G * W;
    double* dgates = out.dgates.data() + (b * L + t) * G * W;
    std::vector<double> before(W);
    for (std::int64_t d = 0; d < W; ++d) {
      const double own = dh[d] + in.dh[(b * L + t) * W + d];
      const auto sum = [&](std::int64_t gate) { return x(t, gate, d) + g[t][gate * W + d]; };
      const auto slope = [&](std::int64_t gate) { return sigmoid(sum(gate)) * (1 - sigmoid(sum(gate))); };
      const auto tanh_slope = [](double y) { return 1 - y * y; };
      if (sizes.cell == Cell::tanh) {
        dx[d] = own * tanh_slope(h[t + 1][d]);
      } else if (lstm) {
        const double squashed = std::tanh(c[t + 1][d]), candidate = std::tanh(sum(2));
        dc[d] += own * sigmoid(sum(3)) * tanh_slope(squashed);
        dx[d] = dc[d] * candidate * slope(0);
        dx[W + d] = dc[d] * c[t][d] * slope(1);
        dx[2 * W + d] = dc[d] * sigmoid(sum(0)) * tanh_slope(candidate);
        dx[3 * W + d] = own * squashed * slope(3);
        dc[d] *= sigmoid(sum(1));
      } else {
        const double r = sigmoid(sum(0)), z = sigmoid(sum(1)), n = std::tanh(x(t, 2, d) + r * g[t][2 * W + d]);
        const double dn = own * (1 - z) * tanh_slope(n);
        dx[d] = dn * g[t][2 * W + d] * slope(0);
        dx[W + d] = own * (h[t][d] - n) * slope(1);
        dx[2 * W + d] = dn;
        before[d] = own * z;
      }
      for (std::int64_t gate = 0; gate < G; ++gate) dgates[gate * W + d] = dx[gate * W + d];
      if (sizes.cell == Cell::gru) dgates[2 * W + d] *= sigmoid(sum(0));
    }
    dh = before;
    for (std::int64_t j = 0; j < G * W; ++j) {
      for (std::int64_t d = 0; d < W; ++d) dh[d] += dgates[j] * in.weight[j * W + d];
    }
  }
  std::copy(dh.begin(), dh.end(), out.dhidden.begin() + b * W);
  std::copy(dc.begin(), dc.end(), out.dfirst_carried.begin() + (lstm ? b * W : 0));
}

Results<double> plain(const CellSizes& sizes, const Inputs& in) {
  Results<double> out;
  out.h.resize(in.dh.size());
  for (auto* of_gates : {&out.dx, &out.dgates}) of_gates->resize(in.x.size());
  for (auto* of_carried : {&out.carried, &out.dfirst_carried}) of_carried->resize(in.carried.size());
  out.dhidden.resize(in.hidden.size());
  for (std::int64_t b = 0; b < sizes.batch; ++b) run(sizes, in, b, out);
  return out;
}

Results<float> on_device(const CellSizes& sizes, const Inputs& in) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> x = copied(in.x), weight = copied(in.weight), bias = copied(in.bias);
  const DeviceBuffer<float> hidden = copied(in.hidden), first = copied(in.carried), dh = copied(in.dh);
  const DeviceBuffer<float> dlast = copied(in.dcarried);
  DeviceBuffer<float> h(in.dh.size()), carried(in.carried.size()), dx(in.x.size()), dhidden(in.hidden.size());
  DeviceBuffer<float> kept(static_cast<std::size_t>(sizes.batch * sizes.length * sizes.kept() * sizes.width));
  DeviceBuffer<float> gates(sizes.cell == Cell::gru ? in.x.size() : 0), dfirst(in.carried.size());
  float* dgates = sizes.cell == Cell::gru ? gates.data() : dx.data();
  const cpu::CellInputs<float> inputs = {x.data(), weight.data(), bias.data(), hidden.data(), first.data()};
  recurrent_cell_forward(sizes, inputs, {h.data(), carried.data(), kept.data()}, stream);
  recurrent_cell_backward(sizes, inputs, {h.data(), kept.data(), dh.data(), dlast.data()},
                          {dx.data(), dgates, dhidden.data(), dfirst.data()}, stream);
  return {to_host(h, stream),       to_host(carried, stream),
          to_host(dx, stream),      to_host(sizes.cell == Cell::gru ? gates : dx, stream),
          to_host(dhidden, stream), to_host(dfirst, stream)};
}

// A product of n terms errs by sqrt(n) 2^-25 of the sum, 4e-7 for the 160 of an LSTM of 40 units, and a function of it
// by as much again; gates of slopes below 1 pass less than all of it on to the next step.
TEST(RecurrentCell, IsTheDefinition) {
  for (const Cell cell : {Cell::tanh, Cell::lstm, Cell::gru}) {
    for (const CellSizes& sizes :
         {CellSizes{cell, 1, 1, 1}, CellSizes{cell, 3, 4, 32}, CellSizes{cell, 35, 3, 5}, CellSizes{cell, 2, 9, 40}}) {
      const Inputs inputs = random_inputs(sizes);
      const Results<double> expected = plain(sizes, inputs);
      const Results<float> results = on_device(sizes, inputs);
      LargestError errors;
      errors.compare("h", results.h, expected.h);
      errors.compare("carried", results.carried, expected.carried);
      errors.compare("dx", results.dx, expected.dx);
      errors.compare("dgates", results.dgates, expected.dgates);
      errors.compare("dhidden", results.dhidden, expected.dhidden);
      errors.compare("dfirst_carried", results.dfirst_carried, expected.dfirst_carried);
      EXPECT_LT(errors.value(), 1e-6) << "cell " << static_cast<int>(cell) << " of " << sizes.width
                                      << " units: " << errors.text();
    }
  }
}

TEST(RecurrentCell, RepeatsBitForBitInEveryOrder) {
  const CellSizes sizes = {Cell::gru, 5, 4, 33};
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.h, second.h);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.dgates, second.dgates);
  EXPECT_EQ(first.dhidden, second.dhidden);
}

TEST(RecurrentCell, WhatNobodyWantsMayBeLeftOut) {
  const CellSizes sizes = {Cell::lstm, 2, 3, 5};
  Inputs inputs = random_inputs(sizes);
  inputs.dcarried.assign(inputs.dcarried.size(), 0);
  const Results<float> with_zeros = on_device(sizes, inputs);
  inputs.dcarried.clear();
  EXPECT_EQ(on_device(sizes, inputs).dx, with_zeros.dx);
  Stream stream;
  EXPECT_THAT(error_of([&] {
                recurrent_cell_forward({Cell::lstm, 1, -1, 1}, {}, {}, stream);
              }),
              HasSubstr("recurrent_cell on the GPU: length is -1; it must be from 0 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
