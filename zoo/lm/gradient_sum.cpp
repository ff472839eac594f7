#include "zoo/lm/gradient_sum.h"

#include <span>

#include "zoo/core/device.h"
#include "zoo/gpu/engine.h"
#include "zoo/gpu/ranks.h"

namespace zoo {

GradientSum::GradientSum(Collective& ranks) : ranks_(&ranks) {
  if constexpr (gpu_built) {
    if (on_gpu() && ranks.size() > 1) on_device_ = gpu::make_rank_sum(ranks);
  }
}

GradientSum::~GradientSum() = default;

void GradientSum::operator()(Tensor& gradients) {
  if constexpr (gpu_built) {
    if (on_device_) {
      on_device_->sum(gradients.device_data<float>(), gradients.size(), gpu::engine_stream());
      return;
    }
  }
  ranks_->sum(std::span(gradients.data<float>(), static_cast<std::size_t>(gradients.size())));
}

std::string GradientSum::name() {
  if constexpr (gpu_built) {
    if (on_gpu()) return gpu::rank_sum_name();
  }
  return "MPI";
}

}  // namespace zoo
