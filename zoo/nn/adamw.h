#pragma once

#include <cstdint>
#include <optional>

#include "zoo/nn/parameter.h"

namespace zoo {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  std::optional<double> clip;  ///< largest norm of the whole gradient
};

/// AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay regularization", as in PyTorch) over flat slabs: the
/// parameters' slab, a slab of gradients and two of moments, updated in one pass.
class AdamW {
 public:
  /// `slab` holds the values of `parameters` in order, float32.
  AdamW(const Parameters& parameters, const Tensor& slab, const AdamWOptions& options);

  /// Adds gradients (one for each parameter, undefined for zero) to the slab; the first call after step() sets it.
  void accumulate(const Tensors& gradients);
  /// Forgets what was accumulated.
  void discard() { fresh_ = true; }
  /// Updates all parameters from the accumulated gradients. Returns their norm before clipping where they are clipped.
  std::optional<double> step(double learning_rate);

  /// What was accumulated, as the slab of parameters: for processes that train together.
  Tensor& gradients() { return gradients_; }

  /// What a checkpoint keeps beside the parameters.
  Tensor& moment1() { return moment1_; }
  Tensor& moment2() { return moment2_; }
  std::int64_t steps = 0;

 private:
  // Neighbouring parameters with the same treatment are one range.
  struct Range {
    std::int64_t begin;
    std::int64_t end;
    double weight_decay;
    double learning_rate_factor;
  };

  AdamWOptions options_;
  std::vector<Range> ranges_;
  std::vector<std::int64_t> offsets_;  // of each parameter, and the end
  Tensor values_;
  Tensor gradients_;
  Tensor moment1_;
  Tensor moment2_;
  bool fresh_ = true;
};

}  // namespace zoo
