// One suite for every registered op: whoever registers an op with its cases gets all of these.
#include "op_harness.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/ops/ops.h"

namespace zoo::harness {
namespace {

// Roundings that a computation may add up to, in units of what a rounding of its inputs does to it and of the last
// place of its result. The elementary functions are within 3.5 units; sums in blocks and vectors grow little.
constexpr double roundings = 16;

class OpHarness : public testing::TestWithParam<const OpEntry*> {
 protected:
  // Calls body(case, key, inputs, cotangents) for each case of the op.
  template <typename Body>
  void for_each_case(const Body& body) {
    const OpEntry& op = *GetParam();
    ASSERT_FALSE(op.cases.empty()) << "op " << op.name << " has no cases";
    for (const OpCase& c : op.cases) {
      const testing::ScopedTrace trace(__FILE__, __LINE__, where_am_i(op, c));
      const RandomKey key = key_of(op, c);
      const Values inputs = draw_inputs(c, key);
      body(c, key, inputs, draw_cotangents(c, inputs, key));
      if (HasFatalFailure()) return;
    }
  }
};

// inputs[which] + h * direction.
Values moved(const Values& inputs, std::size_t which, const Tensor& direction, double h) {
  Values result = inputs;
  result[which] = inputs[which].clone();
  double* data = result[which].data<double>();
  for (std::int64_t i = 0; i < direction.size(); ++i) data[i] += h * direction.data<double>()[i];
  return result;
}

double dot(const Tensor& a, const Tensor& b) {
  double total = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) total += a.data<double>()[i] * b.data<double>()[i];
  return total;
}

double absolute_dot(const Tensor& a, const Tensor& b) {
  double total = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) total += std::abs(a.data<double>()[i] * b.data<double>()[i]);
  return total;
}

TEST_P(OpHarness, GradientsAreDerivatives) {
  for_each_case([](const OpCase& c, RandomKey key, const Values& inputs, const Values& cotangents) {
    const Result at = run(c, inputs, cotangents);
    std::size_t real = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].dtype() == DType::i32) continue;
      const Tensor direction = draw_normal(inputs[i].shape(), key.fold(3000 + i));
      // Values inside may be larger than the results, by about the inputs' size.
      const double magnitude = loss(c, inputs, cotangents).magnitude + static_cast<double>(inputs[i].size());
      const Derivative expected =
          differentiate([&](double h) { return loss(c, moved(inputs, i, direction, h), cotangents).value; }, magnitude);
      EXPECT_NEAR(dot(at.grads[real++], direction), expected.value, expected.error) << "input " << i;
    }
  });
}

// sum_i <gradient_i, weight_i> as a function of inputs and cotangents, on the tape.
struct GradientSum {
  Tensor value;       // undefined when no gradient depends on anything
  Tensors variables;  // inputs (real ones), then cotangents
  double magnitude = 0;
};

GradientSum gradient_sum(const OpCase& c, const Values& inputs, const Values& cotangents, RandomKey key) {
  GradientSum result;
  Tensors given;
  for (const Tensor& input : inputs) {
    given.push_back(input.dtype() == DType::i32 ? input : input.variable());
    if (input.dtype() != DType::i32) result.variables.push_back(given.back());
  }
  const Tensors sources = result.variables;
  const Tensors outputs = c.call(given);
  Tensors reached;
  Tensors arriving;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    result.variables.push_back(cotangents[i].variable());
    if (!outputs[i].requires_grad()) continue;
    reached.push_back(outputs[i]);
    arriving.push_back(result.variables.back());
  }
  if (reached.empty()) return result;
  const Tensors grads = grad(reached, sources, arriving, {.create_graph = true});
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    const Tensor weight = draw_normal(grads[i].shape(), key.fold(4000 + i));
    const Tensor term = ops::sum(ops::mul(grads[i], weight));
    result.value = result.value.defined() ? ops::add(result.value, term) : term;
    result.magnitude += absolute_dot(grads[i].detach(), weight);
  }
  return result;
}

TEST_P(OpHarness, GradientsOfGradientsAreDerivatives) {
  for_each_case([](const OpCase& c, RandomKey key, const Values& inputs, const Values& cotangents) {
    // Cases that are large for a kernel's sake would take half a minute here and say nothing new: gradients of
    // gradients go through the definition in ops.
    if (std::ranges::any_of(inputs, [](const Tensor& input) { return input.size() > 20000; })) return;
    const GradientSum at = gradient_sum(c, inputs, cotangents, key);
    if (!at.value.defined()) return;
    Tensors second(at.variables.size());
    if (at.value.requires_grad()) second = grad(at.value, at.variables);
    Values all = inputs;
    all.insert(all.end(), cotangents.begin(), cotangents.end());
    std::size_t real = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].dtype() == DType::i32) continue;
      const Tensor& gradient = second[real++];
      const Tensor direction = draw_normal(all[i].shape(), key.fold(5000 + i));
      const Derivative expected = differentiate(
          [&](double h) {
            const Values there = moved(all, i, direction, h);
            const auto split = there.begin() + static_cast<std::ptrdiff_t>(inputs.size());
            return gradient_sum(c, Values(there.begin(), split), Values(split, there.end()), key).value.item();
          },
          at.magnitude + static_cast<double>(all[i].size()));
      const double actual = gradient.defined() ? dot(gradient, direction) : 0;
      EXPECT_NEAR(actual, expected.value, expected.error)
          << (i < inputs.size() ? "input " : "output gradient ") << (i < inputs.size() ? i : i - inputs.size());
    }
  });
}

TEST_P(OpHarness, BackwardKernelsAgreeWithGradientsInOps) {
  for_each_case([](const OpCase& c, RandomKey key, const Values& inputs, const Values& cotangents) {
    const Sensitivity allowed = sensitivity(c, inputs, cotangents, key);
    expect_close(run(c, inputs, cotangents), run(c, inputs, cotangents, true), allowed, DType::f64,
                 roundings * c.tolerance);
  });
}

TEST_P(OpHarness, FusedAgreesWithFallback) {
  for_each_case([](const OpCase& c, RandomKey key, const Values& inputs, const Values& cotangents) {
    const Sensitivity allowed = sensitivity(c, inputs, cotangents, key);
    for (const DType dtype : {DType::f64, DType::f32}) {
      const testing::ScopedTrace trace(__FILE__, __LINE__, std::string(dtype_name(dtype)));
      const Values given = in_dtype(inputs, dtype);
      const Result fused = run(c, given, cotangents);
      const UseFallbacks fallbacks;
      expect_close(fused, run(c, given, cotangents), allowed, dtype, 2 * roundings * c.tolerance);
    }
  });
}

TEST_P(OpHarness, Float32AgreesWithFloat64) {
  for_each_case([](const OpCase& c, RandomKey key, const Values& inputs, const Values& cotangents) {
    expect_close(run(c, in_dtype(inputs, DType::f32), cotangents), run(c, inputs, cotangents),
                 sensitivity(c, inputs, cotangents, key), DType::f32, roundings * c.tolerance);
  });
}

TEST_P(OpHarness, TheSameBitsAgain) {
  for_each_case([](const OpCase& c, RandomKey, const Values& inputs, const Values& cotangents) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Values given = in_dtype(inputs, dtype);
      expect_identical(run(c, given, cotangents), run(c, given, cotangents));
    }
  });
}

TEST_P(OpHarness, ReadsAndWritesOnlyWhatIsItsOwn) {
  for_each_case([](const OpCase& c, RandomKey, const Values& inputs, const Values& cotangents) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      for (const bool create_graph : {false, true}) {
        const Result expected = run(c, in_dtype(inputs, dtype), cotangents, create_graph);
        const std::uint64_t before = pool_guard_violations();
        {
          const PoolGuard guard;
          Values copies;
          for (const Tensor& input : in_dtype(inputs, dtype)) copies.push_back(input.clone());
          // Uninitialised memory is NaN now: what was read before it was written shows.
          expect_identical(run(c, copies, cotangents, create_graph), expected);
        }
        EXPECT_EQ(pool_guard_violations(), before);
      }
    }
  });
}

std::vector<const OpEntry*> all_ops() {
  std::vector<const OpEntry*> ops;
  for (const OpEntry& op : op_registry().entries()) ops.push_back(&op);
  return ops;
}

INSTANTIATE_TEST_SUITE_P(, OpHarness, testing::ValuesIn(all_ops()),
                         [](const auto& op_info) { return op_info.param->name; });

// Names of the functions that a header of ops declares to return tensors.
std::set<std::string> declared_in(const char* header) {
  const auto path = std::filesystem::path(ZOO_SOURCE_FOLDER) / "zoo/ops" / header;
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  const std::regex declaration(R"(^Tensor ([a-z_0-9]+)\()");
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);) {
    std::smatch found;
    if (std::regex_search(line, found, declaration)) names.insert(found[1]);
  }
  return names;
}

TEST(OpRegistry, HasEveryPublicOp) {
  std::set<std::string> registered;
  for (const OpEntry& op : op_registry().entries()) registered.insert(op.name);
  const std::set<std::string> declared = declared_in("ops.h");
  EXPECT_GT(declared.size(), 50U);
  for (const std::string& name : declared) {
    EXPECT_TRUE(registered.contains(name)) << "ops::" << name << " has no OpRegistration with test cases beside it";
  }
}

}  // namespace
}  // namespace zoo::harness
