#include "zoo/core/kept.h"

#include "zoo/core/precision.h"
#include "zoo/core/profile.h"

namespace zoo {

namespace {

bool worth_rounding(const Tensor& x) {
  // A part of something larger, such as a slab of parameters, would be kept beside it.
  return x.dtype() == DType::f32 && x.size() >= fewest_rounded && x.fills_memory();
}

Tensor kept(const Tensor& x, Keep keep) {
  if (keep == Keep::shape) return x.without_elements();
  if (keep == Keep::exact || product_precision() != Precision::bf16 || !x.defined() || !worth_rounding(x)) return x;
  const ProfileScope scope("keep as bfloat16", "forward");
  return x.rounded();
}

}  // namespace

Tensor kept_input(const Tensor& input, Keep keep) {
  const bool activation = input.requires_grad() && input.node()->op() != nullptr;
  return activation ? kept(input, keep) : input;
}

Tensor kept_output(const Tensor& output, Keep keep) {
  return kept(output, keep);
}

Tensors read_kept(std::span<const Tensor> kept) {
  Tensors result(kept.begin(), kept.end());
  for (Tensor& x : result) {
    if (x.dtype() != DType::bf16) continue;
    const ProfileScope scope("keep as bfloat16", "backward");
    x = x.widened();
  }
  return result;
}

}  // namespace zoo
