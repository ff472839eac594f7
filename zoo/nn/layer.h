#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zoo/core/options.h"
#include "zoo/core/random.h"
#include "zoo/core/registry.h"
#include "zoo/nn/parameter.h"

namespace zoo {

/// What a layer carries from one chunk of a sequence to the next: named tensors (batch outermost), on the tape while
/// training. Its size is measured from these, never declared.
class State {
 public:
  /// Tokens seen so far; advanced by run(), not by layers.
  std::int64_t position = 0;

  /// The tensor of that name; throws Error when there is none (a state of another layer).
  const Tensor& get(std::string_view name) const;
  /// Whether there is one.
  bool has(std::string_view name) const;
  void set(std::string_view name, Tensor value);
  std::span<const std::pair<std::string, Tensor>> entries() const { return entries_; }
  /// Bytes of all named tensors.
  std::int64_t bytes() const;

 private:
  PoolVector<std::pair<std::string, Tensor>> entries_;
};

/// The positions whose outputs somebody will read, of a batch [B,T] flattened to B*T rows.
struct Rows {
  Tensor indices;  ///< i32 [R], ascending: b*T + t
  Tensor offsets;  ///< i32 [B+1]: the rows of sequence b are indices[offsets[b]] .. indices[offsets[b+1]-1]
  std::int64_t count() const { return indices.size(); }
};

/// What only some layers use.
struct Context {
  bool training = false;  ///< dropout is on
  double progress = 0;    ///< of training, from 0 to 1
  RandomKey random = {};  ///< of this step and this block: the key of its dropout
  std::int64_t first_sequence =
      0;  ///< index of sequence 0 within the whole batch, for keys that do not depend on how a batch is cut
  const Rows* rows = nullptr;  ///< when set, only these rows are read: see Layer::reads_rows
  /// Backbones keep only what enters each block, and compute the block again for its gradient. For whole sequences: the
  /// state is then left as it was.
  bool recompute = false;
};

/// What a layer's constructor gets: sizes, its validated options, and where to declare parameters.
class Builder {
 public:
  Builder(std::int64_t d_model, const Options& options, Parameters& parameters, std::string prefix = "")
      : d_model_(d_model), options_(&options), parameters_(&parameters), prefix_(std::move(prefix)) {}

  std::int64_t d_model() const { return d_model_; }
  const Options& options() const { return *options_; }

  /// The same for a part: its parameters' names begin with `prefix`.
  Builder part(std::string_view prefix) const {
    Builder result = *this;
    result.prefix_ += prefix;
    return result;
  }

  int layer_index = 0;             ///< of this block, from 0
  int n_layers = 1;                ///< blocks in the model
  std::int64_t max_length = 2048;  ///< the longest sequence the model is meant for (implicit filters depend on it)

  /// How training treats a parameter.
  struct Training {
    bool decay = true;
    double learning_rate_factor = 1;
  };
  /// Declares a parameter by the name it has in the reference checkpoints' mixer module.
  Parameter parameter(std::string_view name, const Shape& shape, Initializer initializer) {
    return parameter(name, shape, std::move(initializer), Training{});
  }
  Parameter parameter(std::string_view name, const Shape& shape, Initializer initializer, Training training);

 private:
  std::int64_t d_model_;
  const Options* options_;
  Parameters* parameters_;
  std::string prefix_;
};

/// A sequence layer (a mixer), or a feed-forward, which is one without memory between positions or with a short one.
class Layer {
 public:
  virtual ~Layer() = default;

  /// The state before the first token, for `batch` sequences, in the dtype of the layer's parameters. On the tape where
  /// it depends on parameters.
  virtual State initial_state(std::int64_t batch) const;

  /// Processes a chunk x [B,T,D] of any T >= 1 and advances the state; returns y [B,T,D], or [R,D] when the layer
  /// reads_rows() and context.rows is set. Training is one chunk from the initial state, decoding is T = 1; splitting a
  /// sequence anywhere must not change the result. Call it through run().
  virtual Tensor forward(const Tensor& x, State& state, const Context& context) = 0;

  /// Whether forward itself computes only context.rows. Otherwise run() gathers them.
  virtual bool reads_rows() const { return false; }

  /// Whether each output depends on its own position alone (most feed-forwards), so that any set of positions may be
  /// given as if it were a sequence.
  virtual bool positionwise() const { return false; }
};

/// A layer without a state of its own: its state is the input history, and each chunk is computed from the whole of it.
/// For layers that do not care about fast decoding.
class HistoryLayer : public Layer {
 public:
  /// y [B,T,D] of a whole sequence x [B,T,D].
  virtual Tensor forward_sequence(const Tensor& x, const Context& context) = 0;
  Tensor forward(const Tensor& x, State& state, const Context& context) final;
};

/// Checks x against the state, calls forward without rows unless the layer reads_rows(), gathers rows, advances
/// state.position.
Tensor run(Layer& layer, const Tensor& x, State& state, const Context& context = {});

/// What a layer asks of the backbone around it.
struct BackboneWishes {
  bool learned_positions = false;         ///< positions added at the embedding
  std::int64_t temporal_convolution = 0;  ///< kernel of a causal convolution before the layer; 0 = none
};

/// Settings that the generic tests use.
struct LayerCase {
  std::int64_t d_model;
  nlohmann::json options = nlohmann::json::object();
};

/// A layer's (or feed-forward's) entry in the registry.
struct LayerEntry {
  std::string name;
  std::string description;  ///< one line
  std::string paper;        ///< authors, title, year
  OptionSchema options;
  std::function<std::unique_ptr<Layer>(Builder&)> make;  ///< throws UsageError for settings that cannot be met
  std::function<BackboneWishes(const Options&)> wishes = {};
  std::vector<LayerCase> test_cases;
};

Registry<LayerEntry>& layer_registry();
Registry<LayerEntry>& feed_forward_registry();

/// A LayerEntry::make for a class whose constructor takes a Builder&.
template <typename L>
std::function<std::unique_ptr<Layer>(Builder&)> make() {
  return [](Builder& builder) { return std::make_unique<L>(builder); };
}

}  // namespace zoo
