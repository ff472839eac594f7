#include "zoo/gpu/linear_recurrence.h"

#include <string>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::RecurrenceDecay;
using cpu::RecurrenceSizes;
using testing::HasSubstr;

struct Inputs {
  RecurrenceDecay decay = RecurrenceDecay::none;
  bool steps = false;  // whether there are step and skip
  std::vector<float> q, k, v, initial, log_decay, step, skip, dy, dlast;
};

template <typename T>
struct Results {
  std::vector<T> y, last, dq, dk, dv, dinitial, dlog_decay, dstep, dskip;
};

std::vector<float> absolute(std::vector<float> values, float scale) {
  for (float& value : values) value = scale * std::abs(value);
  return values;
}

Inputs random_inputs(const RecurrenceSizes& sizes, RecurrenceDecay decay, bool steps) {
  const std::int64_t keys = sizes.batch * sizes.length * sizes.groups * sizes.dk;
  const std::int64_t rows = sizes.batch * sizes.length * sizes.heads;
  const std::int64_t cells = sizes.batch * sizes.heads * sizes.dk * sizes.dv;
  const std::int64_t decays = decay == RecurrenceDecay::none ? 0 : decay == RecurrenceDecay::head ? sizes.heads : rows;
  return {decay,
          steps,
          normal_numbers(keys, 1),
          normal_numbers(keys, 2),
          normal_numbers(rows * sizes.dv, 3),
          normal_numbers(cells, 4),
          absolute(normal_numbers(decays, 5), -0.1F),
          steps ? absolute(normal_numbers(rows, 6), 1) : std::vector<float>(),
          normal_numbers(steps ? sizes.heads : 0, 7),
          normal_numbers(rows * sizes.dv, 8),
          normal_numbers(cells, 9)};
}

// The definition, a step at a time.
Results<double> plain(const RecurrenceSizes& sizes, const Inputs& in) {
  const std::int64_t dk = sizes.dk;
  const std::int64_t dv = sizes.dv;
  const std::int64_t cells = dk * dv;
  const std::int64_t rows = sizes.batch * sizes.length * sizes.heads;
  Results<double> out;
  out.y.resize(in.v.size());
  out.last.resize(in.initial.size());
  out.dq.resize(in.q.size() * sizes.parts);
  out.dk.resize(in.k.size() * sizes.parts);
  out.dv.resize(in.v.size());
  out.dinitial.resize(in.initial.size());
  out.dlog_decay.resize(static_cast<std::size_t>(in.log_decay.empty() ? 0 : rows));
  out.dstep.resize(in.step.size());
  out.dskip.resize(static_cast<std::size_t>(in.steps ? sizes.batch * sizes.heads : 0));
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t h = 0; h < sizes.heads; ++h) {
      const std::int64_t of_head = b * sizes.heads + h;
      const std::int64_t part = h / sizes.heads_a_part();
      const auto row = [&](std::int64_t t) { return (b * sizes.length + t) * sizes.heads + h; };
      const auto key = [&](std::int64_t t) {
        return ((b * sizes.length + t) * sizes.groups + h * sizes.groups / sizes.heads) * dk;
      };
      const auto of_part = [&](std::int64_t t) {
        return ((b * sizes.length + t) * sizes.groups * sizes.parts + part) * dk;
      };
      const auto decay = [&](std::int64_t t) {
        if (in.decay == RecurrenceDecay::none) return 1.0;
        return std::exp(double{in.log_decay[in.decay == RecurrenceDecay::head ? h : row(t)]});
      };
      const auto step = [&](std::int64_t t) { return in.steps ? double{in.step[row(t)]} : 1.0; };
      const double skip = in.steps ? in.skip[h] : 0;
      std::vector<std::vector<double>> states = {
          std::vector<double>(in.initial.begin() + of_head * cells, in.initial.begin() + (of_head + 1) * cells)};
      for (std::int64_t t = 0; t < sizes.length; ++t) {
        std::vector<double> state = states.back();
        for (std::int64_t j = 0; j < dv; ++j) {
          const double value = in.v[row(t) * dv + j];
          double& y = out.y[row(t) * dv + j] = skip * value;
          for (std::int64_t i = 0; i < dk; ++i) {
            double& cell = state[i * dv + j];
            cell = decay(t) * cell + step(t) * in.k[key(t) + i] * value;
            y += in.q[key(t) + i] * cell;
          }
        }
        states.push_back(state);
      }
      std::copy(states.back().begin(), states.back().end(), out.last.begin() + of_head * cells);
      std::vector<double> gradient(in.dlast.begin() + of_head * cells, in.dlast.begin() + (of_head + 1) * cells);
      for (std::int64_t t = sizes.length - 1; t >= 0; --t) {
        double flow = 0;
        for (std::int64_t j = 0; j < dv; ++j) {
          const double value = in.v[row(t) * dv + j];
          const double dy = in.dy[row(t) * dv + j];
          double written = 0;
          for (std::int64_t i = 0; i < dk; ++i) {
            double& cell = gradient[i * dv + j];
            cell += in.q[key(t) + i] * dy;
            out.dq[of_part(t) + i] += states[t + 1][i * dv + j] * dy;
            out.dk[of_part(t) + i] += step(t) * cell * value;
            written += in.k[key(t) + i] * cell;
            flow += states[t][i * dv + j] * cell;
            cell *= decay(t);
          }
          out.dv[row(t) * dv + j] = step(t) * written + skip * dy;
          if (!in.steps) continue;
          out.dstep[row(t)] += value * written;
          out.dskip[of_head] += value * dy;
        }
        if (!in.log_decay.empty()) out.dlog_decay[row(t)] = decay(t) * flow;
      }
      std::copy(gradient.begin(), gradient.end(), out.dinitial.begin() + of_head * cells);
    }
  }
  return out;
}

Results<float> on_device(const RecurrenceSizes& sizes, const Inputs& in, Precision precision = Precision::float32) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> q = copied(in.q), k = copied(in.k), v = copied(in.v), initial = copied(in.initial);
  const DeviceBuffer<float> log_decay = copied(in.log_decay), step = copied(in.step), skip = copied(in.skip);
  const DeviceBuffer<float> dy = copied(in.dy), dlast = copied(in.dlast);
  const auto rows = static_cast<std::size_t>(sizes.batch * sizes.length * sizes.heads);
  const auto checkpoints_size = static_cast<std::size_t>(linear_recurrence_checkpoints(sizes, in.decay));
  DeviceBuffer<float> y(in.v.size()), last(in.initial.size()), checkpoints(checkpoints_size);
  DeviceBuffer<float> dq(in.q.size() * sizes.parts), dk(in.k.size() * sizes.parts), dv(in.v.size());
  DeviceBuffer<float> dinitial(in.initial.size()), dlog_decay(in.log_decay.empty() ? 0 : rows);
  DeviceBuffer<float> dstep(in.step.size()), scratch(checkpoints_size);
  DeviceBuffer<float> dskip(static_cast<std::size_t>(in.steps ? sizes.batch * sizes.heads : 0));
  const cpu::RecurrenceInputs<float> inputs = {q.data(),          k.data(),    v.data(),    initial.data(),
                                               log_decay.data(),
                                               /*bonus=*/nullptr, step.data(), skip.data(), in.decay};
  linear_recurrence_forward(sizes, inputs, {y.data(), last.data(), checkpoints.data()}, precision, stream);
  linear_recurrence_backward(sizes, inputs, {dy.data(), dlast.data(), checkpoints.data()},
                             {dq.data(), dk.data(), dv.data(), dinitial.data(), dlog_decay.data(), /*bonus=*/nullptr,
                              dstep.data(), dskip.data()},
                             scratch.data(), precision, stream);
  return {to_host(y, stream),          to_host(last, stream),  to_host(dq, stream),
          to_host(dk, stream),         to_host(dv, stream),    to_host(dinitial, stream),
          to_host(dlog_decay, stream), to_host(dstep, stream), to_host(dskip, stream)};
}

LargestError errors_of(const Results<float>& results, const Results<double>& expected) {
  LargestError errors;
  errors.compare("y", results.y, expected.y);
  errors.compare("last", results.last, expected.last);
  errors.compare("dq", results.dq, expected.dq);
  errors.compare("dk", results.dk, expected.dk);
  errors.compare("dv", results.dv, expected.dv);
  errors.compare("dinitial", results.dinitial, expected.dinitial);
  errors.compare("dlog_decay", results.dlog_decay, expected.dlog_decay);
  errors.compare("dstep", results.dstep, expected.dstep);
  errors.compare("dskip", results.dskip, expected.dskip);
  return errors;
}

struct Case {
  const char* name;
  RecurrenceSizes sizes;  // batch, length, heads, groups, parts, dk, dv
  RecurrenceDecay decay;
  bool steps;

  friend void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
};

const Case cases[] = {
    {"one_step", {1, 1, 1, 1, 1, 1, 1}, RecurrenceDecay::head, false},
    {"a_whole_chunk", {2, 64, 1, 1, 1, 7, 3}, RecurrenceDecay::none, false},
    {"heads_of_a_group", {1, 65, 2, 1, 1, 5, 9}, RecurrenceDecay::head, false},
    {"groups_in_parts", {1, 131, 8, 2, 2, 6, 4}, RecurrenceDecay::head_and_step, true},
    {"wide_heads", {1, 70, 1, 1, 1, 70, 67}, RecurrenceDecay::head_and_step, false},
};

class LinearRecurrence : public testing::TestWithParam<Case> {};

// Of float32, splitting into TF32 loses 3 2^-22 of a product at most, and a float sum 2^-24 of each of its partial
// sums: together below 1e-6 of a sum of products of either sign, root mean square. The decays' own errors, 2^-24 a
// factor, are less. A gradient is a product of two such sums.
TEST_P(LinearRecurrence, IsTheDefinition) {
  const auto& [name, sizes, decay, steps] = GetParam();
  const Inputs inputs = random_inputs(sizes, decay, steps);
  const LargestError errors = errors_of(on_device(sizes, inputs), plain(sizes, inputs));
  EXPECT_LT(errors.value(), 1e-6) << errors.text();
  RecordProperty("errors", errors.text());
}

INSTANTIATE_TEST_SUITE_P(Cases, LinearRecurrence, testing::ValuesIn(cases),
                         [](const auto& test) { return test.param.name; });

TEST(LinearRecurrenceNumbers, SumsOfSmallWholeNumbersAreExact) {
  const RecurrenceSizes sizes = {1, 130, 2, 1, 1, 3, 2};
  Inputs inputs = random_inputs(sizes, RecurrenceDecay::none, false);
  for (std::vector<float>* values : {&inputs.q, &inputs.k, &inputs.v, &inputs.initial, &inputs.dy, &inputs.dlast}) {
    for (float& value : *values) value = std::round(value);
  }
  EXPECT_EQ(errors_of(on_device(sizes, inputs), plain(sizes, inputs)).value(), 0);
}

// Rounding to p bits errs by u = 2^-(p+1) 0.72 / sqrt(3) of a number, root mean square. The last state has two such
// errors in each product; y two in the scores, one in them as weights and one in the values; gradients as many, by sums
// of both kinds.
TEST(LinearRecurrenceNumbers, ErrAsTheirFormatDoes) {
  const RecurrenceSizes sizes = {1, 70, 2, 1, 1, 16, 16};
  const Inputs inputs = random_inputs(sizes, RecurrenceDecay::head_and_step, false);
  const Results<double> expected = plain(sizes, inputs);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double unit = std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0);
    const LargestError errors = errors_of(on_device(sizes, inputs, precision), expected);
    EXPECT_LT(errors.value(), 3 * unit) << errors.text();
    EXPECT_GT(errors.value(), unit) << "more exact than its format: not rounded as the hardware does; "
                                    << errors.text();
  }
}

// Factors of 0 and of e^-200, which is 0 in float, at the beginning, within and at the end of a chunk; a state that
// forgets nothing beside them.
TEST(LinearRecurrenceNumbers, StrongDecaysForget) {
  const RecurrenceSizes sizes = {1, 130, 1, 1, 1, 4, 4};
  Inputs inputs = random_inputs(sizes, RecurrenceDecay::head_and_step, false);
  for (const std::size_t t : {10, 63}) inputs.log_decay[t] = -INFINITY;
  for (const std::size_t t : {30, 64, 129}) inputs.log_decay[t] = -200;
  for (const std::size_t t : {11, 12}) inputs.log_decay[t] = 0;
  EXPECT_LT(errors_of(on_device(sizes, inputs), plain(sizes, inputs)).value(), 2e-6);
}

Inputs from_step(const RecurrenceSizes& sizes, const Inputs& in, std::int64_t split, std::vector<float> state) {
  Inputs result = in;
  const auto drop = [&](std::vector<float>& values, std::int64_t width) {
    if (!values.empty()) values.erase(values.begin(), values.begin() + split * width);
  };
  drop(result.q, sizes.groups * sizes.dk);
  drop(result.k, sizes.groups * sizes.dk);
  drop(result.v, sizes.heads * sizes.dv);
  drop(result.dy, sizes.heads * sizes.dv);
  drop(result.log_decay, sizes.heads);
  drop(result.step, sizes.heads);
  result.initial = std::move(state);
  return result;
}

// At the end of a chunk bit for bit, and elsewhere with as many roundings again.
TEST(LinearRecurrenceNumbers, GoOnFromTheStateBehindAnySplit) {
  const RecurrenceSizes sizes = {1, 131, 2, 1, 1, 5, 3};
  const Inputs inputs = random_inputs(sizes, RecurrenceDecay::head_and_step, true);
  const Results<float> whole = on_device(sizes, inputs);
  for (const std::int64_t split : {64, 37}) {
    RecurrenceSizes begin = sizes;
    begin.length = split;
    RecurrenceSizes rest = sizes;
    rest.length = sizes.length - split;
    const std::vector<float> carried = on_device(begin, inputs).last;
    const Results<float> behind = on_device(rest, from_step(sizes, inputs, split, carried));
    const std::vector<float> y(whole.y.begin() + split * sizes.heads * sizes.dv, whole.y.end());
    if (split == 64) {
      EXPECT_EQ(behind.y, y);
      EXPECT_EQ(behind.last, whole.last);
    }
    EXPECT_LT(relative_error(behind.y, {y.begin(), y.end()}), 2e-6);
    EXPECT_LT(relative_error(behind.last, {whole.last.begin(), whole.last.end()}), 2e-6);
  }
}

TEST(LinearRecurrenceNumbers, RepeatBitForBitInEveryOrder) {
  const RecurrenceSizes sizes = {1, 70, 2, 1, 1, 9, 5};
  const Inputs inputs = random_inputs(sizes, RecurrenceDecay::head_and_step, true);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.y, second.y);
  EXPECT_EQ(first.last, second.last);
  EXPECT_EQ(first.dq, second.dq);
  EXPECT_EQ(first.dk, second.dk);
  EXPECT_EQ(first.dv, second.dv);
  EXPECT_EQ(first.dinitial, second.dinitial);
  EXPECT_EQ(first.dlog_decay, second.dlog_decay);
  EXPECT_EQ(first.dstep, second.dstep);
  EXPECT_EQ(first.dskip, second.dskip);
}

TEST(LinearRecurrenceLaunch, NoStepsLeaveTheState) {
  const RecurrenceSizes sizes = {2, 0, 1, 1, 1, 2, 3};
  const Inputs inputs = random_inputs(sizes, RecurrenceDecay::head, false);
  const Results<float> results = on_device(sizes, inputs);
  EXPECT_EQ(results.last, inputs.initial);
  EXPECT_EQ(results.dinitial, inputs.dlast);
}

TEST(LinearRecurrenceLaunch, SharedMemoryIsOfChunksWhateverTheWidth) {
  const RecurrenceSizes sizes = {2, 130, 4, 2, 1, 128, 70};
  const std::vector<LaunchShape> forward = linear_recurrence_forward_kernels(sizes, RecurrenceDecay::head);
  EXPECT_EQ(forward[0].blocks, 2U * 4 * 3 * 2 * 2);
  EXPECT_EQ(forward[2].blocks, 2U * 4 * 3 * 2);
  // Three matrices of 64 rows of 64 + 4 floats, and three factors a step.
  EXPECT_EQ(forward[2].shared_bytes, 4U * (3 * 64 * 68 + 3 * 64));
  const std::vector<LaunchShape> backward = linear_recurrence_backward_kernels(sizes, RecurrenceDecay::head);
  EXPECT_EQ(backward[2].blocks, 2U * 2 * 3);
  EXPECT_EQ(backward[2].shared_bytes, 4U * (5 * 64 * 68 + 5 * 64 + 4));
  EXPECT_EQ(linear_recurrence_checkpoints(sizes, RecurrenceDecay::head), 3 * 2 * 4 * (128 * 70 + 1));
}

TEST(LinearRecurrenceLaunch, RefusesWhatItDoesNotCompute) {
  Stream stream;
  const float number = 0;
  const auto refused = [&](const RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs) {
    return error_of([&] { linear_recurrence_forward(sizes, inputs, {}, Precision::float32, stream); });
  };
  const RecurrenceSizes sizes = {1, 8, 4, 2, 1, 4, 4};
  cpu::RecurrenceInputs<float> inputs = {};
  inputs.log_decay = &number;
  inputs.decay = RecurrenceDecay::head;
  inputs.bonus = &number;
  EXPECT_THAT(refused(sizes, inputs), HasSubstr("a bonus was given; it needs a decay of each channel and step"));
  inputs.decay = RecurrenceDecay::channel_and_step;
  EXPECT_THAT(refused(sizes, inputs), HasSubstr("parts is 1; with a decay of each channel it must be heads / groups"));
  inputs.bonus = nullptr;
  inputs.decay = RecurrenceDecay::head;
  inputs.step = &number;
  EXPECT_THAT(refused(sizes, inputs), HasSubstr("steps were given; they need a decay of each head and step"));
  inputs.decay = RecurrenceDecay::head_and_step;
  EXPECT_THAT(refused(sizes, inputs), HasSubstr("one of step and skip is missing; give both or none"));
  inputs = {};
  inputs.decay = RecurrenceDecay::head;
  EXPECT_THAT(refused(sizes, inputs), HasSubstr("log_decay is missing; give it, or no decay"));
  EXPECT_THAT(refused({1, 8, 4, 3, 1, 4, 4}, {}), HasSubstr("heads is 4; it must be a multiple of groups"));
  EXPECT_THAT(refused({1, 8, 4, 2, 3, 4, 4}, {}), HasSubstr("parts is 3; it must divide heads / groups"));
  EXPECT_THAT(refused({1, 8, 4, 2, 1, 0, 4}, {}), HasSubstr("dk is 0; it must be from 1 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
