#pragma once

#include <functional>
#include <string>
#include <vector>

#include "zoo/core/registry.h"
#include "zoo/core/tape.h"

namespace zoo {

/// How an input of a test case is drawn.
struct InputSpec {
  enum class Kind {
    real,      ///< N(0, 1), kept 0.1 away from `avoid`
    positive,  ///< U(0.5, 2)
    index,     ///< whole numbers in [0, bound), i32
  };
  Shape shape;
  Kind kind = Kind::real;
  std::int64_t bound = 0;
  /// Points where the op has no derivative.
  std::vector<double> avoid = {};
};

/// One call of an op with given shapes: what the generic harness runs in float64 (gradients, second order), float32
/// (accuracy), fused against fallback, twice (bitwise), between guard bytes.
struct OpCase {
  std::string name;  ///< what is special about it: "broadcast", "empty", "odd sizes"
  std::vector<InputSpec> inputs;
  std::function<Tensors(std::span<const Tensor> inputs)> call;
  /// Factor on the harness's float32 error bound, for ops that sum many terms; stated with its reason in a comment.
  double tolerance = 1;
};

/// An op's entry: its name and the cases by which it is tested from the day it is registered.
struct OpEntry {
  std::string name;
  std::vector<OpCase> cases;
};

Registry<OpEntry>& op_registry();

/// A static one of these beside an op registers it.
struct OpRegistration {
  explicit OpRegistration(OpEntry entry) { op_registry().add(std::move(entry)); }
};

}  // namespace zoo
