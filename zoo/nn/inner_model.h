#pragma once

#include <cstdint>
#include <functional>

#include "zoo/core/pool.h"
#include "zoo/core/tensor.h"

namespace zoo {

/// A model whose weights are the hidden state of a layer (zoo/nn/learner.h), one for each head of each sequence: affine
/// maps, which it names by number, and any ops between them.
class InnerModel {
 public:
  /// One affine map x W + b, or several side by side: groups of channels that have a W [in,out] and b [1,out] each.
  struct Map {
    std::int64_t groups = 1;
    std::int64_t in = 0;
    std::int64_t out = 0;
    Shape W;  ///< shape of all groups' W in a checkpoint: groups * in * out values, in that order
    Shape b;  ///< groups * out values
  };
  /// Applies map `index` to x [B, H*groups, n, in], each token by the weights that are its: [B, H*groups, n, out].
  using Apply = std::function<Tensor(std::size_t index, const Tensor& x)>;

  virtual ~InnerModel() = default;
  /// Its affine maps.
  virtual PoolVector<Map> maps() const = 0;
  /// What it predicts, [B,H,n,d], from x [B,H,memory()+n,d].
  virtual Tensor operator()(const Tensor& x, const Apply& apply) const = 0;
  /// How many tokens before a token it looks at.
  virtual std::int64_t memory() const { return 0; }
  /// Whether weights of 0 have a gradient.
  virtual bool learns_from_zero() const { return true; }
};

/// `depth` affine maps with a tanh-GELU between, `expand` times as wide inside as the width d of a head. Of depth 1: a
/// linear model.
class InnerMlp final : public InnerModel {
 public:
  InnerMlp(std::int64_t d, std::int64_t depth, std::int64_t expand) : d_(d), depth_(depth), expand_(expand) {}
  PoolVector<Map> maps() const override;
  Tensor operator()(const Tensor& x, const Apply& apply) const override;
  bool learns_from_zero() const override { return depth_ == 1; }

 private:
  std::int64_t d_, depth_, expand_;
};

/// A causal depthwise convolution along the sequence; the last tap, W[:, kernel-1], meets the current token.
class InnerConv final : public InnerModel {
 public:
  InnerConv(std::int64_t d, std::int64_t kernel) : d_(d), kernel_(kernel) {}
  PoolVector<Map> maps() const override;
  Tensor operator()(const Tensor& x, const Apply& apply) const override;
  std::int64_t memory() const override { return kernel_ - 1; }

 private:
  std::int64_t d_, kernel_;
};

}  // namespace zoo
