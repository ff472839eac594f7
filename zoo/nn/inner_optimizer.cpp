#include "zoo/nn/inner_optimizer.h"

#include <cmath>

#include "zoo/core/tabulate.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

constexpr double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;

// m_t = decay m_{t-1} + weight x_t for n tokens, m [B,G,1,p] before them and after.
Tensor running_sums(const Tensor& x, double decay, double weight, Tensor& m) {
  const std::int64_t n = x.dim(2);
  const Tensor sums =
      ops::matmul(ops::scale(decay_matrix(n, decay, x.dtype()), weight), x) + m * decay_powers(n, decay, x.dtype());
  m = ops::slice(sums, 2, n - 1, n);
  return sums;
}

// 1 / (1 - beta^(step + 1 + t)): [n,1].
Tensor bias_correction(std::int64_t n, double beta, std::int64_t step, DType dtype) {
  return tabulate({n, 1}, dtype,
                  [=](std::int64_t t) { return 1 / (1 - std::pow(beta, static_cast<double>(step + 1 + t))); });
}

// With gradient 0 at 0, where a weight has never had a gradient.
Tensor root(const Tensor& x) {
  const Tensor zero = Tensor::zeros({1}, x.dtype()), one = Tensor::full({1}, 1, x.dtype());
  const Tensor positive = ops::greater(x, zero);
  return ops::where(positive, ops::sqrt(ops::where(positive, x, one)), zero);
}

}  // namespace

Tensor decay_matrix(std::int64_t n, double decay, DType dtype) {
  return tabulate({n, n}, dtype, [=](std::int64_t at) {
    const std::int64_t t = at / n, s = at % n;
    return s <= t ? std::pow(decay, static_cast<double>(t - s)) : 0;
  });
}

Tensor decay_powers(std::int64_t n, double decay, DType dtype) {
  return tabulate({n, 1}, dtype, [=](std::int64_t t) { return std::pow(decay, static_cast<double>(t + 1)); });
}

std::vector<std::string> InnerOptimizer::statistics() const {
  if (kind_ == Kind::momentum) return {"m"};
  if (kind_ == Kind::adam) return {"m", "v"};
  return {};
}

Tensor InnerOptimizer::updates(const Tensor& gradients, std::span<Tensor> statistics, std::int64_t step) const {
  if (kind_ == Kind::sgd) return gradients;
  if (kind_ == Kind::momentum) return running_sums(gradients, decay(), 1, statistics[0]);
  const std::int64_t n = gradients.dim(2);
  const DType dtype = gradients.dtype();
  const Tensor m = running_sums(gradients, adam_beta1, 1 - adam_beta1, statistics[0]);
  const Tensor v = running_sums(ops::square(gradients), adam_beta2, 1 - adam_beta2, statistics[1]);
  return m * bias_correction(n, adam_beta1, step, dtype) /
         (root(v * bias_correction(n, adam_beta2, step, dtype)) + adam_epsilon);
}

}  // namespace zoo
