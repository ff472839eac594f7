#include "zoo/nn/inner_model.h"

#include "zoo/ops/ops.h"

namespace zoo {

PoolVector<InnerModel::Map> InnerMlp::maps() const {
  PoolVector<Map> maps;
  for (std::int64_t l = 0; l < depth_; ++l) {
    const std::int64_t in = l == 0 ? d_ : expand_ * d_, out = l + 1 == depth_ ? d_ : expand_ * d_;
    maps.push_back({.in = in, .out = out, .W = {in, out}, .b = {1, out}});
  }
  return maps;
}

Tensor InnerMlp::operator()(const Tensor& x, const Apply& apply) const {
  Tensor y = apply(0, x);
  for (std::int64_t l = 1; l < depth_; ++l) y = apply(static_cast<std::size_t>(l), ops::gelu_tanh(y));
  return y;
}

PoolVector<InnerModel::Map> InnerConv::maps() const {
  return {{.groups = d_, .in = kernel_, .out = 1, .W = {d_, kernel_}, .b = {1, d_}}};
}

// A channel's convolution is an affine map of its last `kernel` inputs.
Tensor InnerConv::operator()(const Tensor& x, const Apply& apply) const {
  const std::int64_t B = x.dim(0), H = x.dim(1), n = x.dim(2) - memory();
  Tensors taps;
  for (std::int64_t tap = 0; tap < kernel_; ++tap) {
    taps.push_back(ops::reshape(ops::transpose(ops::slice(x, 2, tap, tap + n), 2, 3), {B, H * d_, n, 1}));
  }
  const Tensor y = apply(0, ops::concat(taps, -1));
  return ops::transpose(ops::reshape(y, {B, H, d_, n}), 2, 3);
}

}  // namespace zoo
