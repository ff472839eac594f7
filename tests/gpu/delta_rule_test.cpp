#include "zoo/gpu/delta_rule.h"

#include <string>

#include "gpu_testing.h"
#include "numbers.h"
#include "tape.h"
#include "zoo/gpu/device.h"

namespace zoo::gpu {
namespace {

using cpu::DeltaRuleSizes;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> q, k, v, beta, initial, log_decay, dy, dlast;
};

template <typename T>
struct Results {
  std::vector<T> y, last, dq, dk, dv, dbeta, dinitial, dlog_decay;

  auto all() const {
    return std::vector<std::pair<const char*, const std::vector<T>*>>{{"y", &y},
                                                                      {"last", &last},
                                                                      {"dq", &dq},
                                                                      {"dk", &dk},
                                                                      {"dv", &dv},
                                                                      {"dbeta", &dbeta},
                                                                      {"dinitial", &dinitial},
                                                                      {"dlog_decay", &dlog_decay}};
  }
};

// Keys of unit length, as the rule needs them to be stable, and beta from 0 to `largest_beta`.
Inputs random_inputs(const DeltaRuleSizes& sizes, bool decay, float largest_beta = 1) {
  const std::int64_t rows = sizes.batch * sizes.length * sizes.heads;
  const std::int64_t cells = sizes.batch * sizes.heads * sizes.dk * sizes.dv;
  Inputs in = {normal_numbers(rows * sizes.dk, 1), normal_numbers(rows * sizes.dk, 2),
               normal_numbers(rows * sizes.dv, 3), normal_numbers(rows, 4),
               normal_numbers(cells, 5),           normal_numbers(decay ? rows : 0, 6, 0.1F),
               normal_numbers(rows * sizes.dv, 7), normal_numbers(cells, 8)};
  for (std::size_t at = 0; at < in.k.size(); at += static_cast<std::size_t>(sizes.dk)) {
    float square = 0;
    for (std::int64_t i = 0; i < sizes.dk; ++i) square += in.k[at + i] * in.k[at + i];
    for (std::int64_t i = 0; i < sizes.dk; ++i) in.k[at + i] /= std::sqrt(square);
  }
  for (float& beta : in.beta) beta = largest_beta / (1 + std::exp(-beta));
  for (float& each : in.log_decay) each = -std::abs(each);
  return in;
}

// The definition, a step at a time.
Results<double> plain(const DeltaRuleSizes& sizes, const Inputs& in) {
  Number::forget();
  const std::int64_t dk = sizes.dk, dv = sizes.dv;
  const std::vector<Number> q = variables(in.q), k = variables(in.k), v = variables(in.v), beta = variables(in.beta);
  const std::vector<Number> initial = variables(in.initial), log_decay = variables(in.log_decay);
  std::vector<Number> y(in.v.size()), last = initial;
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t h = 0; h < sizes.heads; ++h) {
      Number* S = &last[static_cast<std::size_t>((b * sizes.heads + h) * dk * dv)];
      for (std::int64_t t = 0; t < sizes.length; ++t) {
        const std::int64_t row = (b * sizes.length + t) * sizes.heads + h;
        for (std::int64_t j = 0; j < dv; ++j) {
          Number e = v[row * dv + j];
          for (std::int64_t i = 0; i < dk; ++i) {
            Number& cell = S[i * dv + j];
            if (!log_decay.empty()) cell = cell * exp(log_decay[row]);
            e = e - k[row * dk + i] * cell;
          }
          e = e * beta[row];
          for (std::int64_t i = 0; i < dk; ++i) {
            S[i * dv + j] += k[row * dk + i] * e;
            y[row * dv + j] += q[row * dk + i] * S[i * dv + j];
          }
        }
      }
    }
  }
  const std::vector<double> derivatives = Number::derivatives(weighted_sum(y, in.dy) + weighted_sum(last, in.dlast));
  return {values_of(y),       values_of(last),       by(q, derivatives),       by(k, derivatives),
          by(v, derivatives), by(beta, derivatives), by(initial, derivatives), by(log_decay, derivatives)};
}

Results<float> on_device(const DeltaRuleSizes& sizes, const Inputs& in, Precision precision = Precision::float32) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> q = copied(in.q), k = copied(in.k), v = copied(in.v), beta = copied(in.beta);
  const DeviceBuffer<float> initial = copied(in.initial), log_decay = copied(in.log_decay);
  const DeviceBuffer<float> dy = copied(in.dy), dlast = copied(in.dlast);
  DeviceBuffer<float> y(in.v.size()), last(in.initial.size()), dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
  DeviceBuffer<float> dbeta(in.beta.size()), dinitial(in.initial.size()), dlog_decay(in.log_decay.size());
  DeviceBuffer<float> checkpoints(static_cast<std::size_t>(delta_rule_checkpoints(sizes)));
  DeviceBuffer<float> forward(static_cast<std::size_t>(delta_rule_forward_workspace(sizes)));
  DeviceBuffer<float> backward(static_cast<std::size_t>(delta_rule_backward_workspace(sizes)));
  const cpu::DeltaRuleInputs<float> inputs = {q.data(),    k.data(),       v.data(),
                                              beta.data(), initial.data(), log_decay.data()};
  delta_rule_forward(sizes, inputs, {y.data(), last.data()}, checkpoints.data(), forward.data(), precision, stream);
  delta_rule_backward(sizes, inputs, {dy.data(), in.dlast.empty() ? nullptr : dlast.data()}, checkpoints.data(),
                      {dq.data(), dk.data(), dv.data(), dbeta.data(), dinitial.data(),
                       in.log_decay.empty() ? nullptr : dlog_decay.data()},
                      backward.data(), precision, stream);
  return {to_host(y, stream),  to_host(last, stream),  to_host(dq, stream),       to_host(dk, stream),
          to_host(dv, stream), to_host(dbeta, stream), to_host(dinitial, stream), to_host(dlog_decay, stream)};
}

LargestError errors_of(const Results<float>& results, const Results<double>& expected) {
  LargestError errors;
  const auto found = results.all();
  const auto wanted = expected.all();
  for (std::size_t i = 0; i < found.size(); ++i) errors.compare(found[i].first, *found[i].second, *wanted[i].second);
  return errors;
}

struct Case {
  const char* name;
  DeltaRuleSizes sizes;  // batch, length, heads, dk, dv
  bool decay;
  float largest_beta = 1;

  friend void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
};

const Case cases[] = {
    {"one_step", {1, 1, 1, 1, 1}, true},         {"a_whole_chunk", {2, 64, 1, 16, 3}, false},
    {"reflections", {1, 65, 2, 5, 9}, false, 2}, {"three_chunks_of_width_20", {1, 131, 2, 20, 20}, true},
    {"width_32", {1, 40, 1, 32, 32}, true},      {"width_64", {1, 66, 1, 64, 64}, true},
    {"wide_heads", {1, 20, 1, 70, 67}, true},
};

class DeltaRule : public testing::TestWithParam<Case> {};

// Of float32, splitting into TF32 loses 3 2^-22 of a product at most, and a float sum 2^-24 of each of its partial
// sums: together below 4e-7 of a sum of products of either sign, root mean square. A gradient goes through the
// triangular system twice and through four sums. Where keys are few, the gradient of the initial state is what the
// steps' keys have left of its parts, whose errors cannot shrink as they do: 2 times as much, as zoo::ops has it.
TEST_P(DeltaRule, IsTheDefinition) {
  const auto& [name, sizes, decay, largest_beta] = GetParam();
  const Inputs inputs = random_inputs(sizes, decay, largest_beta);
  const LargestError errors = errors_of(on_device(sizes, inputs), plain(sizes, inputs));
  EXPECT_LT(errors.value(), largest_beta > 1 ? 4e-6 : 2e-6) << errors.text();
  RecordProperty("errors", errors.text());
}

INSTANTIATE_TEST_SUITE_P(Cases, DeltaRule, testing::ValuesIn(cases), [](const auto& test) { return test.param.name; });

// Rounding to p bits errs by u = 2^-(p+1) 0.72 / sqrt(3) of a number, root mean square, and so sqrt(2) u of a sum of
// products. Results are behind up to five such sums, each of what those before it err by.
TEST(DeltaRuleNumbers, ErrAsTheirFormatDoes) {
  const DeltaRuleSizes sizes = {1, 70, 1, 16, 16};
  const Inputs inputs = random_inputs(sizes, true);
  const Results<double> expected = plain(sizes, inputs);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, std::pair{Precision::bf16, 7}}) {
    const double unit = std::ldexp(1.0, -bits - 1) * 0.72 / std::sqrt(3.0);
    const LargestError errors = errors_of(on_device(sizes, inputs, precision), expected);
    EXPECT_LT(errors.value(), 10 * unit) << errors.text();
    EXPECT_GT(errors.value(), unit) << "more exact than its format: not rounded as the hardware does; "
                                    << errors.text();
  }
}

// Factors of 0 and of e^-200, which is 0 in float, at the beginning, within and at the end of a chunk.
TEST(DeltaRuleNumbers, StrongDecaysForget) {
  const DeltaRuleSizes sizes = {1, 130, 1, 4, 4};
  Inputs inputs = random_inputs(sizes, true);
  for (const std::size_t t : {10, 30, 63, 64, 129}) inputs.log_decay[t] = -200;
  const Results<double> expected = plain(sizes, inputs);
  EXPECT_LT(errors_of(on_device(sizes, inputs), expected).value(), 2e-6);
  for (const std::size_t t : {10, 63}) inputs.log_decay[t] = -INFINITY;
  EXPECT_LT(errors_of(on_device(sizes, inputs), expected).value(), 2e-6);
}

Inputs from_step(const DeltaRuleSizes& sizes, const Inputs& in, std::int64_t split, std::vector<float> state) {
  Inputs result = in;
  const auto drop = [&](std::vector<float>& values, std::int64_t width) {
    values.erase(values.begin(), values.begin() + split * sizes.heads * width);
  };
  drop(result.q, sizes.dk);
  drop(result.k, sizes.dk);
  drop(result.v, sizes.dv);
  drop(result.dy, sizes.dv);
  drop(result.beta, 1);
  drop(result.log_decay, 1);
  result.initial = std::move(state);
  return result;
}

// At the end of a chunk bit for bit, and elsewhere with as many roundings again.
TEST(DeltaRuleNumbers, GoOnFromTheStateBehindAnySplit) {
  const DeltaRuleSizes sizes = {1, 131, 2, 5, 3};
  const Inputs inputs = random_inputs(sizes, true);
  const Results<float> whole = on_device(sizes, inputs);
  for (const std::int64_t split : {64, 37}) {
    DeltaRuleSizes begin = sizes, rest = sizes;
    begin.length = split;
    rest.length = sizes.length - split;
    const Results<float> behind = on_device(rest, from_step(sizes, inputs, split, on_device(begin, inputs).last));
    const std::vector<float> y(whole.y.begin() + split * sizes.heads * sizes.dv, whole.y.end());
    if (split == 64) {
      EXPECT_EQ(behind.y, y);
      EXPECT_EQ(behind.last, whole.last);
    }
    EXPECT_LT(relative_error(behind.y, {y.begin(), y.end()}), 2e-6);
    EXPECT_LT(relative_error(behind.last, {whole.last.begin(), whole.last.end()}), 2e-6);
  }
}

TEST(DeltaRuleNumbers, RepeatBitForBitInEveryOrder) {
  const DeltaRuleSizes sizes = {1, 70, 2, 9, 5};
  const Inputs inputs = random_inputs(sizes, true);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  for (std::size_t i = 0; i < first.all().size(); ++i) EXPECT_EQ(*first.all()[i].second, *second.all()[i].second);
}

TEST(DeltaRuleNumbers, TheLastStatesGradientMayBeMissing) {
  const DeltaRuleSizes sizes = {1, 20, 1, 4, 4};
  Inputs inputs = random_inputs(sizes, true);
  inputs.dlast.assign(inputs.dlast.size(), 0);
  const Results<float> zero = on_device(sizes, inputs);
  inputs.dlast.clear();
  EXPECT_EQ(on_device(sizes, inputs).dk, zero.dk);
}

TEST(DeltaRuleLaunch, NoStepsLeaveTheState) {
  const DeltaRuleSizes sizes = {2, 0, 1, 2, 3};
  const Inputs inputs = random_inputs(sizes, true);
  const Results<float> results = on_device(sizes, inputs);
  EXPECT_EQ(results.last, inputs.initial);
  EXPECT_EQ(results.dinitial, inputs.dlast);
}

TEST(DeltaRuleLaunch, SharedMemoryGrowsWithTheKeysAlone) {
  const DeltaRuleSizes sizes = {2, 130, 4, 128, 70};
  const std::vector<LaunchShape> forward = delta_rule_forward_kernels(sizes);
  EXPECT_EQ(forward[0].blocks, 2U * 4 * 3);
  // Four matrices of 64 rows of 64 + 4 floats, and three factors a step.
  EXPECT_EQ(forward[0].shared_bytes, 4U * (4 * 64 * 68 + 3 * 64));
  EXPECT_EQ(forward[1].blocks, 2U * 4 * 2);
  // Three matrices, two factors a step and one of the chunk, padded, and two matrices of the state.
  EXPECT_EQ(forward[1].shared_bytes, 4U * (3 * 64 * 68 + 2 * 64 + 4 + 2 * 64 * 68));
  EXPECT_EQ(delta_rule_backward_kernels(sizes)[2].shared_bytes, 4U * (5 * 64 * 68 + 5 * 64 + 4));
  EXPECT_EQ(delta_rule_checkpoints(sizes), 3 * 2 * 4 * 128 * 70 + 2 * 130 * 4 * 70);
  EXPECT_EQ(delta_rule_backward_workspace(sizes), 3 * 2 * 4 * 128 * 70 + 2 * 130 * 4 * (128 + 70));
}

TEST(DeltaRuleLaunch, RefusesWhatItDoesNotCompute) {
  Stream stream;
  const auto refused = [&](const DeltaRuleSizes& sizes) {
    return error_of([&] { delta_rule_forward(sizes, {}, {}, nullptr, nullptr, Precision::float32, stream); });
  };
  EXPECT_TRUE(delta_rule_fits({1, 8, 1, 256, 256}));
  EXPECT_FALSE(delta_rule_fits({1, 8, 1, 4096, 4}));
  EXPECT_THAT(refused({1, 8, 1, 4096, 4}), HasSubstr("dk is 4096; a state's columns need 1166864 bytes"));
  EXPECT_THAT(refused({1, 8, 1, 0, 4}), HasSubstr("dk is 0; it must be from 1 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
