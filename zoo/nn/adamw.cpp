#include "zoo/nn/adamw.h"

#include <cmath>
#include <type_traits>

#include "zoo/core/error.h"
#include "zoo/core/profile.h"
#include "zoo/cpu/adamw.h"
#include "zoo/gpu/adamw.h"
#include "zoo/gpu/totals.h"
#include "zoo/ops/accumulate.h"
#include "zoo/ops/dispatch.h"

namespace zoo {

namespace {

// On a GPU this is what the host waits for.
double sum_of_squares(const Tensor& x) {
  return ops::dispatch(DType::f32, "adamw", [&](auto at) -> double {
    if constexpr (at.gpu) {
      Tensor scratch = Tensor::empty({gpu::sum_of_squares_scratch(x.size())}, DType::f64);
      Tensor sum = Tensor::empty({}, DType::f64);
      gpu::sum_of_squares(at(x), x.size(), at.template into<double>(scratch), at.template into<double>(sum),
                          at.stream());
      return sum.item();
    } else {
      return cpu::sum_of_squares(x.data<float>(), x.size());
    }
  });
}

}  // namespace

AdamW::AdamW(const Parameters& parameters, const Tensor& slab, const AdamWOptions& options)
    : options_(options),
      values_(slab),
      gradients_(Tensor::zeros(slab.shape())),
      moment1_(Tensor::zeros(slab.shape())),
      moment2_(Tensor::zeros(slab.shape())) {
  offsets_.push_back(0);
  for (const Parameter& parameter : parameters) {
    const ParameterSpec& spec = parameter.spec();
    const std::int64_t begin = offsets_.back();
    const std::int64_t end = begin + spec.shape.size();
    offsets_.push_back(end);
    const double decay = spec.decay ? options.weight_decay : 0;
    if (!ranges_.empty() && ranges_.back().weight_decay == decay &&
        ranges_.back().learning_rate_factor == spec.learning_rate_factor) {
      ranges_.back().end = end;
    } else {
      ranges_.push_back({begin, end, decay, spec.learning_rate_factor});
    }
  }
}

void AdamW::accumulate(const Tensors& gradients) {
  const ProfileScope scope("gradient slab", "backward");
  if (gradients.size() + 1 != offsets_.size()) {
    throw Error("the optimizer has {} parameters and was given {} gradients", offsets_.size() - 1, gradients.size());
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    Tensor part = gradients_.rows(offsets_[i], offsets_[i + 1] - offsets_[i]);
    const Tensor& gradient = gradients[i];
    if (!gradient.defined()) {
      if (fresh_) part.clear();
    } else if (fresh_) {
      part.copy_from(gradient);
    } else {
      ops::accumulate(part, gradient.view(part.shape()));
    }
  }
  fresh_ = false;
}

std::optional<double> AdamW::step(double learning_rate) {
  const ProfileScope scope("adamw", "update");
  ++steps;
  fresh_ = true;
  double scale = 1;
  std::optional<double> norm;
  if (options_.clip) {
    norm = std::sqrt(sum_of_squares(gradients_));
    // As PyTorch: the small term keeps a zero gradient finite.
    scale = std::min(1.0, *options_.clip / (*norm + 1e-6));
  }
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps));
  for (const Range& range : ranges_) {
    const double rate = learning_rate * range.learning_rate_factor;
    const cpu::AdamWFactors factors{.beta1 = static_cast<float>(options_.beta1),
                                    .beta2 = static_cast<float>(options_.beta2),
                                    .shrink = static_cast<float>(1 - rate * range.weight_decay),
                                    .step = static_cast<float>(rate / correction1),
                                    .inverse_root = static_cast<float>(1 / std::sqrt(correction2)),
                                    .epsilon = static_cast<float>(options_.epsilon),
                                    .gradient_scale = static_cast<float>(scale)};
    const std::int64_t count = range.end - range.begin;
    Tensor gradient = gradients_.rows(range.begin, count), value = values_.rows(range.begin, count);
    Tensor moment1 = moment1_.rows(range.begin, count), moment2 = moment2_.rows(range.begin, count);
    ops::dispatch(DType::f32, "adamw", [&](auto at) {
      if constexpr (at.gpu) {
        gpu::adamw(factors, at(gradient), at(value), at(moment1), at(moment2), count, at.stream());
      } else if constexpr (std::is_same_v<typename decltype(at)::Real, float>) {
        cpu::adamw(factors, at(gradient), at(value), at(moment1), at(moment2), count);
      }
    });
  }
  return norm;
}

}  // namespace zoo
