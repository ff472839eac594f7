#include "zoo/ops/fast_weights_definition.h"

#include <algorithm>

namespace zoo::ops {

namespace {

// [B,T,H,...] to [B,H,T,...].
Tensor by_head(const Tensor& x) {
  return transpose(x, 1, 2);
}

// Token j of a fragment of n is past or present for token i: [n,n].
Tensor causal_mask(std::int64_t n, DType dtype) {
  Tensor mask = Tensor::empty({n, n}, DType::f64);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) mask.data<double>()[i * n + j] = j <= i ? 1 : 0;
  }
  return mask.to(dtype);
}

// The derivative of gelu_tanh: with s = sigmoid(2u), gelu = x s and u as in vector_math-inl.h.
Tensor gelu_slope(const Tensor& x) {
  constexpr double c = 1.5957691216057307117598;  // 2 sqrt(2/pi)
  const Tensor x2 = square(x);
  const Tensor s = sigmoid(x * scale(add_scalar(scale(x2, 0.044715), 1), c));
  return s + x * s * (1.0 - s) * scale(add_scalar(scale(x2, 3 * 0.044715), 1), c);
}

// LayerNorm without weights: x^ and 1 / sqrt(variance + epsilon).
struct Normalised {
  Tensor x;
  Tensor inverse;
};
Normalised normalise(const Tensor& x, double epsilon) {
  const Tensor centred = x - mean(x, -1, true);
  const Tensor inverse = rsqrt(add_scalar(mean(square(centred), -1, true), epsilon));
  return {centred * inverse, inverse};
}

// The tokens of a chunk that belong to one mini-batch, and the arithmetic of the definition on them.
class Fragment {
 public:
  Fragment(std::span<const Tensor> inputs, std::int64_t begin, std::int64_t n, std::int64_t index, double epsilon)
      : n_(n), epsilon_(epsilon) {
    const auto rows = [&](FastWeightsInput input) { return slice(by_head(inputs[input]), 2, begin, begin + n); };
    q_ = rows(q_input);
    k_ = rows(k_input);
    v_ = rows(v_input);
    const std::int64_t H = q_.dim(1), d = q_.dim(3);
    eta_ = reshape(rows(eta_input), q_.shape().with(3, 1));
    scale_ = reshape(slice(inputs[scale_input], 0, index, index + n), {n, 1});
    weight_ = reshape(inputs[weight_input], {H, 1, d});
    bias_ = reshape(inputs[bias_input], {H, 1, d});
  }

  // Adds eta_j G_j of its tokens to the sums of the maps, and returns z [B,H,n,d].
  Tensor operator()(std::span<FastMap> maps) const {
    Tensors x, z, gradient(maps.size());  // of each map: inputs, results, and eta_j times the loss's gradient by these
    for (const FastMap& map : maps) {
      x.push_back(z.empty() ? k_ : gelu_tanh(z.back()));
      z.push_back(matmul(x.back(), map.W) + map.b);
    }
    Tensor g = loss_gradient(z.back());
    for (std::size_t l = maps.size(); l-- > 0;) {
      gradient[l] = eta_ * g;
      if (l > 0) g = matmul(g, maps[l].W, false, true) * gelu_slope(z[l - 1]);
    }
    Tensor y = q_;
    for (std::size_t l = 0; l < maps.size(); ++l) {
      FastMap& map = maps[l];
      if (l > 0) y = gelu_tanh(y);
      const Tensor seen = add_scalar(matmul(y, x[l], false, true), 1) * causal_mask(n_, y.dtype());
      const Tensor learned = matmul(seen, gradient[l]) + matmul(y, map.W_sum) + map.b_sum;
      y = matmul(y, map.W) + map.b - scale_ * learned;
      map.W_sum = map.W_sum + matmul(x[l], gradient[l], true, false);
      map.b_sum = map.b_sum + sum(gradient[l], 2, true);
    }
    return q_ + normalise(y, epsilon_).x * weight_ + bias_;
  }

  // What scales the sums when its last token has been read.
  Tensor last_scale() const { return slice(scale_, 0, n_ - 1, n_); }

 private:
  // Of 1/2 |LN(z) - (v - k)|^2 by z.
  Tensor loss_gradient(const Tensor& z) const {
    const Normalised normal = normalise(z, epsilon_);
    const Tensor g = (normal.x * weight_ + bias_ - (v_ - k_)) * weight_;
    return (g - mean(g, -1, true) - normal.x * mean(g * normal.x, -1, true)) * normal.inverse;
  }

  std::int64_t n_;
  double epsilon_;
  Tensor q_, k_, v_, eta_, scale_, weight_, bias_;
};

void clear_sums(std::span<FastMap> maps) {
  for (FastMap& map : maps) {
    map.W_sum = Tensor::zeros(map.W.shape(), map.W.dtype());
    map.b_sum = Tensor::zeros(map.b.shape(), map.b.dtype());
  }
}

}  // namespace

Tensors fast_weights_definition(std::span<const Tensor> inputs, const FastWeightsOptions& options) {
  const std::int64_t T = inputs[q_input].dim(1), K = options.mini_batch;
  PoolVector<FastMap> maps;
  for (std::size_t i = maps_input; i < inputs.size(); i += 4) {
    maps.push_back({inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]});
  }
  if (options.first == 0) clear_sums(maps);
  Tensors parts;
  std::int64_t index = options.first;
  for (std::int64_t begin = 0; begin < T;) {
    const std::int64_t n = std::min(K - index, T - begin);
    const Fragment fragment(inputs, begin, n, index, options.epsilon);
    parts.push_back(fragment(maps));
    begin += n;
    index += n;
    if (index < K) continue;
    for (FastMap& map : maps) {
      map.W = map.W - fragment.last_scale() * map.W_sum;
      map.b = map.b - fragment.last_scale() * map.b_sum;
    }
    clear_sums(maps);
    index = 0;
  }
  Tensors outputs = {by_head(concat(parts, 2))};
  for (const FastMap& map : maps) outputs.insert(outputs.end(), {map.W, map.b, map.W_sum, map.b_sum});
  return outputs;
}

}  // namespace zoo::ops
