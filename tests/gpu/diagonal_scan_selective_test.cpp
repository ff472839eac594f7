#include "zoo/gpu/diagonal_scan_selective.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::SelectiveScanSizes;
using testing::AllOf;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> x, delta, A, B, C, D, initial, dy, dlast;
};

template <typename T>
struct Results {
  std::vector<T> y, last, dx, ddelta, dA, dB, dC, dD, dinitial;
};

Inputs random_inputs(const SelectiveScanSizes& sizes) {
  const std::int64_t count = sizes.batch * sizes.length * sizes.channels;
  const std::int64_t rows = sizes.batch * sizes.length * sizes.state;
  const std::int64_t cells = sizes.batch * sizes.channels * sizes.state;
  Inputs in = {normal_numbers(count, 1), normal_numbers(count, 2), normal_numbers(sizes.channels * sizes.state, 3),
               normal_numbers(rows, 4),  normal_numbers(rows, 5),  normal_numbers(sizes.channels, 6),
               normal_numbers(cells, 7), normal_numbers(count, 8), normal_numbers(cells, 9)};
  for (float& delta : in.delta) delta = 0.3F * std::abs(delta);
  for (float& A : in.A) A = -std::exp(A);
  return in;
}

// The definition, a step at a time. The gradients of A and D are those of each sequence.
Results<double> plain(const SelectiveScanSizes& sizes, const Inputs& in) {
  const std::int64_t N = sizes.state;
  Results<double> out;
  for (auto* of_steps : {&out.y, &out.dx, &out.ddelta}) of_steps->resize(in.x.size());
  for (auto* of_states : {&out.last, &out.dA, &out.dinitial}) of_states->resize(in.initial.size());
  for (auto* of_rows : {&out.dB, &out.dC}) of_rows->resize(in.B.size());
  out.dD.resize(static_cast<std::size_t>(sizes.batch * sizes.channels));
  for (std::int64_t i = 0; i < sizes.batch * sizes.channels; ++i) {
    const std::int64_t sequence = i / sizes.channels;
    const std::int64_t channel = i % sizes.channels;
    const auto at = [&](std::int64_t t) { return (sequence * sizes.length + t) * sizes.channels + channel; };
    for (std::int64_t t = 0; t < sizes.length; ++t) {
      const double dy = in.dy[at(t)];
      out.y[at(t)] = double{in.D[channel]} * in.x[at(t)];
      out.dx[at(t)] = in.D[channel] * dy;
      out.dD[i] += in.x[at(t)] * dy;
    }
    for (std::int64_t n = 0; n < N; ++n) {
      const auto row = [&](std::int64_t t) { return (sequence * sizes.length + t) * N + n; };
      const double A = in.A[channel * N + n];
      std::vector<double> h = {in.initial[i * N + n]};
      for (std::int64_t t = 0; t < sizes.length; ++t) {
        const double delta = in.delta[at(t)];
        h.push_back(std::exp(delta * A) * h[t] + delta * in.x[at(t)] * in.B[row(t)]);
        out.y[at(t)] += in.C[row(t)] * h[t + 1];
      }
      out.last[i * N + n] = h.back();
      double carried = in.dlast[i * N + n];
      for (std::int64_t t = sizes.length - 1; t >= 0; --t) {
        const double delta = in.delta[at(t)];
        const double dy = in.dy[at(t)];
        const double g = carried + dy * in.C[row(t)];
        out.dC[row(t)] += dy * h[t + 1];
        out.dB[row(t)] += g * delta * in.x[at(t)];
        out.dx[at(t)] += g * delta * in.B[row(t)];
        carried = std::exp(delta * A) * g;
        out.ddelta[at(t)] += g * in.x[at(t)] * in.B[row(t)] + carried * h[t] * A;
        out.dA[i * N + n] += carried * h[t] * delta;
      }
      out.dinitial[i * N + n] = carried;
    }
  }
  return out;
}

// Sums over the blocks of channels.
std::vector<float> sum_of_parts(const std::vector<float>& parts, std::size_t size) {
  std::vector<float> result(size);
  for (std::size_t i = 0; i < parts.size(); ++i) result[i % size] += parts[i];
  return result;
}

Results<float> on_device(const SelectiveScanSizes& sizes, const Inputs& in) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> x = copied(in.x), delta = copied(in.delta), A = copied(in.A), B = copied(in.B);
  const DeviceBuffer<float> C = copied(in.C), D = copied(in.D), initial = copied(in.initial), dy = copied(in.dy);
  const DeviceBuffer<float> dlast = copied(in.dlast);
  const auto blocks = static_cast<std::size_t>(selective_scan_blocks(sizes));
  DeviceBuffer<float> y(in.x.size()), last(in.initial.size());
  DeviceBuffer<float> checkpoints(in.initial.size() * static_cast<std::size_t>(sizes.chunks()));
  DeviceBuffer<float> dx(in.x.size()), ddelta(in.x.size()), dA(in.initial.size()), dB(blocks * in.B.size());
  DeviceBuffer<float> dC(blocks * in.B.size()), dD(static_cast<std::size_t>(sizes.batch) * in.D.size());
  DeviceBuffer<float> dinitial(in.initial.size());
  const cpu::SelectiveScanInputs<float> inputs = {x.data(), delta.data(), A.data(),      B.data(),
                                                  C.data(), D.data(),     initial.data()};
  selective_scan_forward(sizes, inputs, {y.data(), last.data(), checkpoints.data()}, stream);
  selective_scan_backward(sizes, inputs, checkpoints.data(), dy.data(), dlast.data(),
                          {dx.data(), ddelta.data(), dA.data(), dB.data(), dC.data(), dD.data(), dinitial.data()},
                          stream);
  return {to_host(y, stream),
          to_host(last, stream),
          to_host(dx, stream),
          to_host(ddelta, stream),
          to_host(dA, stream),
          sum_of_parts(to_host(dB, stream), in.B.size()),
          sum_of_parts(to_host(dC, stream), in.B.size()),
          to_host(dD, stream),
          to_host(dinitial, stream)};
}

LargestError errors_of(const Results<float>& results, const Results<double>& expected) {
  LargestError errors;
  errors.compare("y", results.y, expected.y);
  errors.compare("last", results.last, expected.last);
  errors.compare("dx", results.dx, expected.dx);
  errors.compare("ddelta", results.ddelta, expected.ddelta);
  errors.compare("dA", results.dA, expected.dA);
  errors.compare("dB", results.dB, expected.dB);
  errors.compare("dC", results.dC, expected.dC);
  errors.compare("dD", results.dD, expected.dD);
  errors.compare("dinitial", results.dinitial, expected.dinitial);
  return errors;
}

// A factor exp(delta A) errs by 2^-24 times 1 + |delta A|, which is a few, and a state gathers those of the steps that
// have not faded: less than 1e-6 of its typical size, whatever the length. Gradients are products of two such numbers.
TEST(SelectiveScan, IsTheDefinition) {
  // One step; a whole piece; several with a rest; more than one round of 8 pieces; channels of less and more than a
  // warp.
  for (const SelectiveScanSizes& sizes :
       {SelectiveScanSizes{1, 1, 1, 1}, SelectiveScanSizes{3, 16, 5, 3}, SelectiveScanSizes{2, 17, 33, 4},
        SelectiveScanSizes{1, 150, 7, 1}, SelectiveScanSizes{1, 300, 3, 16}}) {
    const Inputs inputs = random_inputs(sizes);
    const LargestError errors = errors_of(on_device(sizes, inputs), plain(sizes, inputs));
    EXPECT_LT(errors.value(), 1e-6) << sizes.length << " steps: " << errors.text();
  }
}

// Without decay, of whole numbers: what is added twice, or left out, shows.
TEST(SelectiveScan, SumsOfSmallWholeNumbersAreExact) {
  const SelectiveScanSizes sizes = {1, 290, 2, 2};
  Inputs inputs = random_inputs(sizes);
  for (std::vector<float>* values :
       {&inputs.x, &inputs.B, &inputs.C, &inputs.D, &inputs.initial, &inputs.dy, &inputs.dlast})
    for (float& value : *values) value = std::round(value);
  inputs.A.assign(inputs.A.size(), 0);
  inputs.delta.assign(inputs.delta.size(), 1);
  EXPECT_EQ(errors_of(on_device(sizes, inputs), plain(sizes, inputs)).value(), 0);
}

TEST(SelectiveScan, WhatNobodyWantsMayBeLeftOut) {
  const SelectiveScanSizes sizes = {1, 33, 5, 2};
  Inputs inputs = random_inputs(sizes);
  inputs.dlast.assign(inputs.dlast.size(), 0);
  const Results<float> with_zeros = on_device(sizes, inputs);
  inputs.dlast.clear();
  const Results<float> without = on_device(sizes, inputs);
  EXPECT_EQ(without.dx, with_zeros.dx);
  EXPECT_EQ(without.dinitial, with_zeros.dinitial);

  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> x = copied(inputs.x), delta = copied(inputs.delta), A = copied(inputs.A);
  const DeviceBuffer<float> B = copied(inputs.B), C = copied(inputs.C), D = copied(inputs.D);
  // In place: the state of a decoder moves on.
  DeviceBuffer<float> state = copied(inputs.initial), y(inputs.x.size());
  selective_scan_forward(sizes, {x.data(), delta.data(), A.data(), B.data(), C.data(), D.data(), state.data()},
                         {y.data(), state.data(), nullptr}, stream);
  EXPECT_EQ(to_host(y, stream), with_zeros.y);
  EXPECT_EQ(to_host(state, stream), with_zeros.last);
}

TEST(SelectiveScan, RepeatsBitForBitInEveryOrder) {
  const SelectiveScanSizes sizes = {1, 150, 33, 3};
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.last, second.last);
  EXPECT_EQ(first.dx, second.dx);
  EXPECT_EQ(first.ddelta, second.ddelta);
  EXPECT_EQ(first.dA, second.dA);
  EXPECT_EQ(first.dB, second.dB);
  EXPECT_EQ(first.dC, second.dC);
  EXPECT_EQ(first.dD, second.dD);
  EXPECT_EQ(first.dinitial, second.dinitial);
}

TEST(SelectiveScan, HasAsManyPiecesAsSharedMemoryAllows) {
  const LaunchShape forward = selective_scan_forward_kernel({4, 1000, 70, 16});
  EXPECT_EQ(forward.blocks, 4U * 3);
  EXPECT_EQ(forward.threads, 8U * 32);
  // For two of them: a factor and a sum of each piece and lane, and a state of each n and lane.
  EXPECT_EQ(forward.shared_bytes, 2U * 32 * (8 * 8 + 16 * 4));
  // And what each piece adds to the gradients of A and D.
  const LaunchShape backward = selective_scan_backward_kernel({4, 1000, 70, 16});
  EXPECT_EQ(backward.shared_bytes, forward.shared_bytes + 8U * 32 * 17 * 4);
  EXPECT_LT(selective_scan_backward_kernel({4, 1000, 70, 256}).threads, 8U * 32);
  EXPECT_TRUE(selective_scan_has_room({1, 1, 1, 256}));
  EXPECT_FALSE(selective_scan_has_room({1, 1, 1, 800}));  // the forward pass alone would have
  EXPECT_THAT(error_of([] {
                selective_scan_forward_kernel({1, 1, 1, 4096});
              }),
              AllOf(HasSubstr("selective_scan_forward on "), HasSubstr("states of 4096 numbers need 1049088 bytes")));
  EXPECT_THAT(error_of([] {
                selective_scan_forward_kernel({1, -1, 1, 1});
              }),
              HasSubstr("selective_scan on the GPU: length is -1; it must be from 0 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
