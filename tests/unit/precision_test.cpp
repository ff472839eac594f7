// The precision of products: its names, where it holds, and what ops make of it on the device gpu.
#include "zoo/core/precision.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "op_harness.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/ops/ops.h"

namespace zoo::harness {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::array rounding = {Precision::tf32, Precision::bf16};

template <typename Run>
std::string usage_error_of(const Run& run) {
  try {
    run();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError was thrown";
}

TEST(PrecisionNames, AreWhatUsersWriteAndWhatRecordsSay) {
  for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
    EXPECT_EQ(parse_precision(precision_name(precision)), precision);
    EXPECT_EQ(parse_recorded_precision(recorded_precision(precision)), precision);
  }
  EXPECT_EQ(recorded_precision(Precision::float32), "f32") << "as runs had it before there was a choice";
  EXPECT_THAT(usage_error_of([] { parse_precision("fp16"); }),
              AllOf(HasSubstr("unknown precision 'fp16'"), HasSubstr("float32, tf32, bf16")));
  EXPECT_THAT(usage_error_of([] { parse_recorded_precision("float32"); }), HasSubstr("f32, tf32, bf16"));
}

TEST(PrecisionNames, OnTheCpuThereIsFloat32Alone) {
  EXPECT_NO_THROW(require_precision(Precision::float32));
  if (current_device() == Device::gpu) {
    EXPECT_EQ(read_precision("--precision", "bf16"), Precision::bf16);
    return;
  }
  for (const Precision precision : rounding) {
    const std::string name(precision_name(precision));
    EXPECT_THAT(usage_error_of([&] { read_precision("--precision", name); }),
                AllOf(HasSubstr("--precision"), HasSubstr(name), HasSubstr("--device gpu")));
    EXPECT_THAT(usage_error_of([&] { const WithPrecision refused(precision); }), HasSubstr("--device gpu"));
    EXPECT_EQ(product_precision(), Precision::float32);
  }
}

TEST(PrecisionScopes, TheInnermostHolds) {
  if (current_device() == Device::cpu) GTEST_SKIP() << "the CPU has one precision";
  EXPECT_EQ(product_precision(), Precision::float32);
  {
    const WithPrecision outer(Precision::bf16);
    {
      const WithPrecision inner(Precision::tf32);
      EXPECT_EQ(product_precision(), Precision::tf32);
    }
    EXPECT_EQ(product_precision(), Precision::bf16);
  }
  EXPECT_EQ(product_precision(), Precision::float32);
}

// Ops whose products are the tensor cores', of recurrent_cell those of its weights' gradients. All others are float32's
// whatever the precision, but for what their gradients read of the tape.
bool has_products(const OpEntry& op) {
  static const std::array names = {
      "attention",         "delta_rule", "fast_weights",   "gated_linear_recurrence", "linear", "linear_cross_entropy",
      "linear_recurrence", "matmul",     "recurrent_cell", "state_space_dual"};
  return std::ranges::find(names, op.name) != names.end();
}

class PrecisionOfOps : public testing::TestWithParam<const OpEntry*> {};

// Rounding an operand to p bits of mantissa errs by a relative u = 2^-(p+1) at most, 0.72 / sqrt(3) u root mean square.
// What errors of u do to a result, of the inputs and of the gradients from above, is measured in float64, where small
// ones are scaled (sensitivity). Operands on the way are rounded again: with up to five roundings behind one another,
// whose signs have nothing to do with each other, 0.42 sqrt(5) of that, which is below 1; twice that is granted,
// as of thousands of numbers the largest counts.
TEST_P(PrecisionOfOps, RoundsOperandsOfProductsAndWhatTheTapeKeeps) {
  if (current_device() == Device::cpu) GTEST_SKIP() << "the CPU has one precision";
  const OpEntry& op = *GetParam();
  bool rounds[rounding.size()] = {};
  for (const OpCase& c : op.cases) {
    const testing::ScopedTrace trace(__FILE__, __LINE__, where_am_i(op, c));
    const RandomKey key = key_of(op, c);
    const Values inputs = draw_inputs(c, key), given = in_dtype(inputs, DType::f32);
    const Values cotangents = draw_cotangents(c, inputs, key);
    const Result full = run(c, given, cotangents);
    for (std::size_t i = 0; i < rounding.size(); ++i) {
      const WithPrecision precision(rounding[i]);
      const Result result = run(c, given, cotangents);
      rounds[i] |= !identical(result, full);
      if (!has_products(op)) {
        // In bf16 the tape rounds what gradients read.
        const bool gradients_too = rounding[i] == Precision::tf32;
        expect_identical({result.outputs, gradients_too ? result.grads : Values{}},
                         {full.outputs, gradients_too ? full.grads : Values{}});
      }
      const double unit = rounding[i] == Precision::tf32 ? 0x1p-11 : 0x1p-8;
      expect_close(result, run(c, inputs, cotangents), sensitivity(c, inputs, cotangents, key), unit, 2 * c.tolerance);
    }
  }
  for (std::size_t i = 0; has_products(op) && i < rounding.size(); ++i) {
    EXPECT_TRUE(rounds[i]) << precision_name(rounding[i]) << " does not reach the kernels";
  }
}

std::vector<const OpEntry*> all_ops() {
  std::vector<const OpEntry*> ops;
  for (const OpEntry& op : op_registry().entries()) ops.push_back(&op);
  return ops;
}

INSTANTIATE_TEST_SUITE_P(, PrecisionOfOps, testing::ValuesIn(all_ops()),
                         [](const auto& op_info) { return op_info.param->name; });

}  // namespace
}  // namespace zoo::harness
