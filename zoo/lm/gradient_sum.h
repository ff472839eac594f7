#pragma once

#include <memory>
#include <string>

#include "zoo/core/collective.h"
#include "zoo/core/tensor.h"

namespace zoo {

namespace gpu {
class RankSum;
}

/// Sums gradients over the processes that train together: on the device gpu where they lie, between the GPUs; on the
/// CPU by the processes' own sum.
class GradientSum {
 public:
  /// All ranks make theirs together; `ranks` must outlive it. Throws Error as gpu::make_rank_sum does.
  explicit GradientSum(Collective& ranks);
  ~GradientSum();
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;
  /// Replaces float32 values by their sums, of which all ranks get the same bits. All ranks call it together.
  void operator()(Tensor& gradients);
  /// What does it, for the record: "MPI", or NCCL with its version.
  static std::string name();

 private:
  Collective* ranks_;
  std::unique_ptr<gpu::RankSum> on_device_;  // nothing on the CPU, and for a process alone
};

}  // namespace zoo
