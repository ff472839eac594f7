#include <string>

#include "gpu_testing.h"
#include "numbers.h"
#include "zoo/gpu/linear_recurrence.h"

namespace zoo::gpu {
namespace {

using cpu::RecurrenceDecay;
using cpu::RecurrenceSizes;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> q, k, v, initial, log_decay, bonus, dy, dlast;
};

template <typename T>
struct Results {
  std::vector<T> y, last, dq, dk, dv, dinitial, dlog_decay, dbonus;
};

Inputs random_inputs(const RecurrenceSizes& sizes, bool with_bonus, float strength = 0.1F) {
  const std::int64_t keys = sizes.batch * sizes.length * sizes.groups * sizes.dk;
  const std::int64_t rows = sizes.batch * sizes.length * sizes.heads;
  const std::int64_t cells = sizes.batch * sizes.heads * sizes.dk * sizes.dv;
  Inputs in = {normal_numbers(keys, 1),
               normal_numbers(keys, 2),
               normal_numbers(rows * sizes.dv, 3),
               normal_numbers(cells, 4),
               normal_numbers(rows * sizes.dk, 5, strength),
               normal_numbers(with_bonus ? sizes.heads * sizes.dk : 0, 6),
               normal_numbers(rows * sizes.dv, 7),
               normal_numbers(cells, 8)};
  for (float& log : in.log_decay) log = -std::abs(log);
  return in;
}

// The definition, a step at a time.
Results<double> plain(const RecurrenceSizes& sizes, const Inputs& in) {
  const std::int64_t dk = sizes.dk;
  const std::int64_t dv = sizes.dv;
  const bool before = !in.bonus.empty();
  Results<double> out;
  for (auto* of_values : {&out.y, &out.dv}) of_values->resize(in.v.size());
  for (auto* of_states : {&out.last, &out.dinitial}) of_states->resize(in.initial.size());
  for (auto* of_keys : {&out.dq, &out.dk, &out.dlog_decay}) of_keys->resize(in.log_decay.size());
  out.dbonus.resize(before ? static_cast<std::size_t>(sizes.batch * sizes.heads * dk) : 0);
  for (std::int64_t of_head = 0; of_head < sizes.batch * sizes.heads; ++of_head) {
    const std::int64_t b = of_head / sizes.heads;
    const std::int64_t h = of_head % sizes.heads;
    const auto row = [&](std::int64_t t) { return (b * sizes.length + t) * sizes.heads + h; };
    const auto key = [&](std::int64_t t) {
      return ((b * sizes.length + t) * sizes.groups + h * sizes.groups / sizes.heads) * dk;
    };
    for (std::int64_t i = 0; i < dk; ++i) {
      for (std::int64_t j = 0; j < dv; ++j) {
        const std::int64_t cell = (of_head * dk + i) * dv + j;
        const double bonus = before ? in.bonus[h * dk + i] : 0;
        std::vector<double> states = {in.initial[cell]};
        for (std::int64_t t = 0; t < sizes.length; ++t) {
          const double written = double{in.k[key(t) + i]} * in.v[row(t) * dv + j];
          states.push_back(std::exp(double{in.log_decay[row(t) * dk + i]}) * states[t] + written);
          out.y[row(t) * dv + j] += in.q[key(t) + i] * (before ? states[t] + bonus * written : states[t + 1]);
        }
        out.last[cell] = states.back();
        double gradient = in.dlast[cell];
        for (std::int64_t t = sizes.length - 1; t >= 0; --t) {
          const double q = in.q[key(t) + i], k = in.k[key(t) + i], v = in.v[row(t) * dv + j];
          const double dy = in.dy[row(t) * dv + j];
          const double decay = std::exp(double{in.log_decay[row(t) * dk + i]});
          if (!before) gradient += q * dy;
          const double dwritten = gradient + (before ? q * bonus * dy : 0);
          out.dq[row(t) * dk + i] += dy * (before ? states[t] + bonus * k * v : states[t + 1]);
          out.dk[row(t) * dk + i] += dwritten * v;
          out.dv[row(t) * dv + j] += dwritten * k;
          out.dlog_decay[row(t) * dk + i] += gradient * decay * states[t];
          gradient *= decay;
          if (!before) continue;
          out.dbonus[of_head * dk + i] += q * k * v * dy;
          gradient += q * dy;
        }
        out.dinitial[cell] = gradient;
      }
    }
  }
  return out;
}

Results<float> on_device(const RecurrenceSizes& sizes, const Inputs& in, Precision precision = Precision::float32) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> q = copied(in.q), k = copied(in.k), v = copied(in.v), initial = copied(in.initial);
  const DeviceBuffer<float> log_decay = copied(in.log_decay), bonus = copied(in.bonus), dy = copied(in.dy);
  const DeviceBuffer<float> dlast = copied(in.dlast);
  const auto count = linear_recurrence_checkpoints(sizes, RecurrenceDecay::channel_and_step);
  const auto checkpoints_size = static_cast<std::size_t>(count);
  DeviceBuffer<float> y(in.v.size()), last(in.initial.size()), checkpoints(checkpoints_size);
  DeviceBuffer<float> dq(in.log_decay.size()), dk(in.log_decay.size()), dv(in.v.size()), dinitial(in.initial.size());
  DeviceBuffer<float> dlog_decay(in.log_decay.size()), scratch(checkpoints_size);
  DeviceBuffer<float> dbonus(in.bonus.size() * static_cast<std::size_t>(sizes.batch));
  const cpu::RecurrenceInputs<float> inputs = {q.data(),         k.data(),         v.data(),
                                               initial.data(),   log_decay.data(), bonus.data(),
                                               /*step=*/nullptr, /*skip=*/nullptr, RecurrenceDecay::channel_and_step};
  linear_recurrence_forward(sizes, inputs, {y.data(), last.data(), checkpoints.data()}, precision, stream);
  linear_recurrence_backward(sizes, inputs, {dy.data(), dlast.data(), checkpoints.data()},
                             {dq.data(), dk.data(), dv.data(), dinitial.data(), dlog_decay.data(), dbonus.data(),
                              /*step=*/nullptr, /*skip=*/nullptr},
                             scratch.data(), precision, stream);
  return {to_host(y, stream),  to_host(last, stream),     to_host(dq, stream),         to_host(dk, stream),
          to_host(dv, stream), to_host(dinitial, stream), to_host(dlog_decay, stream), to_host(dbonus, stream)};
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
  errors.compare("dbonus", results.dbonus, expected.dbonus);
  return errors;
}

struct Case {
  const char* name;
  RecurrenceSizes sizes;  // batch, length, heads, groups, parts, dk, dv

  friend void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
};

const Case cases[] = {
    {"one_step", {1, 1, 1, 1, 1, 1, 1}},       {"part_of_a_sub_chunk", {2, 9, 1, 1, 1, 3, 5}},
    {"a_whole_chunk", {1, 64, 1, 1, 1, 7, 3}}, {"groups", {1, 83, 4, 2, 2, 6, 4}},
    {"wide_heads", {1, 70, 1, 1, 1, 70, 67}},
};

class LinearRecurrenceChannel : public testing::TestWithParam<Case> {};

// As LinearRecurrence.IsTheDefinition; a decay from step to step is a product of at most 64 factors, each of which errs
// by 2^-24, root mean square 8 2^-24 = 5e-7 at most.
TEST_P(LinearRecurrenceChannel, IsTheDefinition) {
  for (const bool bonus : {false, true}) {
    const Inputs inputs = random_inputs(GetParam().sizes, bonus);
    const LargestError errors = errors_of(on_device(GetParam().sizes, inputs), plain(GetParam().sizes, inputs));
    EXPECT_LT(errors.value(), 1e-6) << (bonus ? "with a bonus: " : "") << errors.text();
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, LinearRecurrenceChannel, testing::ValuesIn(cases),
                         [](const auto& test) { return test.param.name; });

// Without decay, of whole numbers: what is added twice, or left out, shows.
TEST(LinearRecurrenceChannelNumbers, SumsOfSmallWholeNumbersAreExact) {
  const RecurrenceSizes sizes = {1, 75, 2, 2, 1, 3, 2};
  for (const bool bonus : {false, true}) {
    Inputs inputs = random_inputs(sizes, bonus, 0);
    for (std::vector<float>* values :
         {&inputs.q, &inputs.k, &inputs.v, &inputs.initial, &inputs.bonus, &inputs.dy, &inputs.dlast})
      for (float& value : *values) value = std::round(value);
    EXPECT_EQ(errors_of(on_device(sizes, inputs), plain(sizes, inputs)).value(), 0) << bonus;
  }
}

// As LinearRecurrenceNumbers.ErrAsTheirFormatDoes; scores within a sub-chunk are more exact.
TEST(LinearRecurrenceChannelNumbers, ErrAsTheirFormatDoes) {
  const RecurrenceSizes sizes = {1, 70, 1, 1, 1, 16, 16};
  const Inputs inputs = random_inputs(sizes, true);
  const Results<double> expected = plain(sizes, inputs);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double unit = std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0);
    const LargestError errors = errors_of(on_device(sizes, inputs, precision), expected);
    EXPECT_LT(errors.value(), 3 * unit) << errors.text();
    EXPECT_GT(errors.value(), unit) << "more exact than its format: not rounded as the hardware does; "
                                    << errors.text();
  }
}

// Decays so strong that a channel's sum over a sub-chunk is below -100, and factors of 0, in some channels: beside them
// others forget nothing. A quotient of decays, e^100 or infinity, would show.
TEST(LinearRecurrenceChannelNumbers, StrongDecaysForget) {
  const RecurrenceSizes sizes = {1, 80, 1, 1, 1, 4, 4};
  for (const bool bonus : {false, true}) {
    Inputs inputs = random_inputs(sizes, bonus, 10);
    for (std::size_t t = 0; t < 80; ++t) {
      inputs.log_decay[t * 4] = 0;
      if (t % 13 == 5) inputs.log_decay[t * 4 + 1] = -INFINITY;
      inputs.log_decay[t * 4 + 2] *= 0.01F;
    }
    const LargestError errors = errors_of(on_device(sizes, inputs), plain(sizes, inputs));
    EXPECT_LT(errors.value(), 2e-6) << errors.text();
  }
}

TEST(LinearRecurrenceChannelNumbers, RepeatBitForBitInEveryOrder) {
  const RecurrenceSizes sizes = {1, 70, 2, 1, 2, 9, 5};
  const Inputs inputs = random_inputs(sizes, true);
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
  EXPECT_EQ(first.dbonus, second.dbonus);
}

TEST(LinearRecurrenceChannelLaunch, SharedMemoryIsOfChunksWhateverTheWidth) {
  const RecurrenceSizes sizes = {2, 130, 4, 4, 1, 128, 70};
  const auto decay = RecurrenceDecay::channel_and_step;
  // Matrices of 64 rows of 64 + 4 floats, and the decays of 4 sub-chunks alone, and between any of their ends.
  constexpr unsigned matrix = 64 * 68;
  constexpr unsigned decays = 64 * (4 + 5 * 5);
  const std::vector<LaunchShape> forward = linear_recurrence_forward_kernels(sizes, decay);
  EXPECT_EQ(forward[0].shared_bytes, 4U * 3 * matrix);
  EXPECT_EQ(forward[2].blocks, 2U * 4 * 3 * 2);
  EXPECT_EQ(forward[2].shared_bytes, 4U * (4 * matrix + decays));
  const std::vector<LaunchShape> backward = linear_recurrence_backward_kernels(sizes, decay);
  EXPECT_EQ(backward[2].blocks, 2U * 4 * 3);
  EXPECT_EQ(backward[2].shared_bytes, 4U * (4 * matrix + decays + 64 * (3 * 3 + 4 + 1 + 4)));
  EXPECT_EQ(linear_recurrence_checkpoints(sizes, decay), 3 * 2 * 4 * (128 * 70 + 128));
}

TEST(LinearRecurrenceChannelLaunch, RefusesTheGradientOfNoBonus) {
  Stream stream;
  float number = 0;
  cpu::RecurrenceInputs<float> inputs = {};
  inputs.decay = RecurrenceDecay::channel_and_step;
  inputs.log_decay = &number;
  cpu::RecurrenceGradients<float> gradients = {};
  gradients.bonus = &number;
  EXPECT_THAT(
      error_of([&] {
        linear_recurrence_backward({1, 8, 1, 1, 1, 4, 4}, inputs, {}, gradients, nullptr, Precision::float32, stream);
      }),
      HasSubstr("the gradient of a bonus is wanted, and none was given"));
}

}  // namespace
}  // namespace zoo::gpu
