#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "zoo/nn/layer.h"

namespace zoo {

/// What a model carries from one chunk of a sequence to the next: the states of its layers, of its feed-forwards and of
/// the backbone itself.
struct ModelState {
  std::int64_t position = 0;        ///< tokens seen
  PoolVector<State> mixers;         ///< a block each
  PoolVector<State> feed_forwards;  ///< a block each, or none
  PoolVector<State> backbone;       ///< as Backbone::initial_state() made them

  /// Bytes of all named tensors, without counters.
  std::int64_t bytes() const;
};

/// What a backbone is built from.
struct BackboneParts {
  std::vector<std::unique_ptr<Layer>> mixers;         ///< a block each
  std::vector<std::unique_ptr<Layer>> feed_forwards;  ///< a block each, or empty
  std::vector<BackboneWishes> wishes;                 ///< of each block's mixer
};

/// What stands between the embedding and the head: norms, residuals, dropout around mixers and feed-forwards, and the
/// final norm.
class Backbone {
 public:
  virtual ~Backbone() = default;
  /// What the backbone itself carries from one chunk to the next, before the first token.
  virtual PoolVector<State> initial_state(std::int64_t /*batch*/) const { return {}; }
  /// x [B,T,D] from the embedding; returns what the head reads, [B,T,D], or [R,D] when context.rows is set. The last
  /// block computes those rows alone where it can.
  virtual Tensor forward(const Tensor& x, ModelState& state, const Context& context) = 0;
};

/// A backbone's entry in the registry.
struct BackboneEntry {
  std::string name;
  std::string description;  ///< one line
  std::string paper;
  OptionSchema options;
  /// Distributions of the roles for a model of so many blocks.
  std::function<Initialization(const Options& options, std::int64_t blocks)> initialization;
  /// The builder declares the backbone's own parameters.
  std::function<std::unique_ptr<Backbone>(Builder&, BackboneParts)> make;
};

Registry<BackboneEntry>& backbone_registry();

}  // namespace zoo
