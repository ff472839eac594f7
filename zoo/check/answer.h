#pragma once

#include <span>
#include <string>
#include <vector>

#include "zoo/check/subject.h"
#include "zoo/check/verdict.h"

namespace zoo::check {

/// How a sequence is put through a layer.
struct Pass {
  std::vector<std::int64_t> chunks = {};  ///< lengths; empty = the whole in one
  bool gradients = true;
  bool create_graph = false;  ///< gradients by the vjps written in ops, not by the backward kernels
  bool fallbacks = false;     ///< fused ops run as their definitions
  Context context = {};
  /// When not empty: rows b*t + i of the last chunk, whose outputs alone are read, through run().
  const std::vector<std::int32_t>* rows = nullptr;
  /// Whether those rows are picked here from all outputs, instead of by run().
  bool pick_rows = false;
};

/// One tensor of what a layer computes, float64, off the tape.
struct Part {
  enum class Kind { output, state, gradient };
  Kind kind;
  std::string name;  ///< "the output", "state S", "the gradient of q_proj.weight"
  Tensor values;
};

/// What a layer computes from a sequence: outputs [B,T,D] (or the rows read, [R,D]), the state after it, and gradients
/// of sum(outputs * weights) with respect to the input and every parameter. A gradient that does not exist is zero.
struct Answer {
  std::vector<Part> parts;
  const Tensor& output() const { return parts[0].values; }
  /// Throws Error when there is none.
  const Part& part(std::string_view name) const;
};
inline constexpr std::string_view input_gradient = "the gradient of the input";

/// Puts x [B,T,D] through the subject; weights is [B,T,D].
Answer answer(const Subject& subject, const Tensor& x, const Tensor& weights, const Pass& pass = {});

/// Root mean square of the values; 0 for none.
double rms(const Tensor& values);
/// What a difference is shown relative to: the size, or 1 when that is 0.
inline double unit_of(double size) {
  return size > 0 ? size : 1;
}
/// Root mean square of a - b; infinity when the shapes differ.
double rms_difference(const Tensor& a, const Tensor& b);

/// How far two correct computations of one answer may lie apart.
///
/// Rounding acts like relative changes of about one epsilon in the inputs, the parameters and all that is computed from
/// them. So the answer's sensitivity is measured: the change of each part, in float64, when every input and parameter
/// value is changed by a relative +-delta (small enough that rounding is still far below the change), over delta. One
/// rounding of every operand then moves a part by epsilon * (its own size + sensitivity). A sum of n terms rounds n
/// times, errors adding like a random walk: sqrt(n), with n the longest sum. A factor of 4 covers that a layer is some
/// ten operations deep and that two computations are compared, each with its error. Gradients share one size, that of
/// the largest: one that vanishes by cancellation still carries the rounding of what cancelled.
class Rounding {
 public:
  /// Of the answer that a lively float64 subject of these settings gives to this pass.
  Rounding(const Trial& trial, SubjectSettings settings, const Tensor& x, const Tensor& weights, const Pass& pass = {});

  /// The float64 answer itself.
  const Answer& reference() const { return reference_; }
  /// Root mean square by which `part` of two answers may differ in this precision.
  double bound(std::size_t part, DType dtype) const;

 private:
  Answer reference_;
  std::vector<double> size_;
  std::vector<double> sensitivity_;
  double roundings_;
};

/// Compares two answers part by part within a rounding's bound; numbers are shown relative to the part's size.
void compare(Verdict& verdict, const Answer& one, const Answer& other, const Rounding& rounding, DType dtype,
             const std::string& what);

}  // namespace zoo::check
