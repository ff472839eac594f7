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

TEST_P(DeltaRule, IsTheDefinition) {
  const auto& [name, sizes, decay, largest_beta] = GetParam();
  const Inputs inputs = random_inputs(sizes, decay, largest_beta);
  const LargestError errors = errors_of(on_device(sizes, inputs), plain(sizes, inputs));
  EXPECT_LT(errors.value(), 2e-6) << errors.text();
  RecordProperty("errors", errors.text());
  if (std::getenv("SHOW") != nullptr) printf("%s\n", errors.text().c_str());
}

INSTANTIATE_TEST_SUITE_P(Cases, DeltaRule, testing::ValuesIn(cases), [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace zoo::gpu
