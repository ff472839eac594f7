#include "zoo/nn/single_layer.h"

#include <numeric>
#include <optional>

#include "zoo/core/error.h"
#include "zoo/core/tape.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

// Positions side by side, off the tape.
Tensor join(std::span<const Tensor> chunks) {
  const NoTape off;
  Tensors detached;
  for (const Tensor& chunk : chunks) detached.push_back(chunk.detach());
  return detached.size() == 1 ? detached[0] : ops::concat(detached, 1);
}

// x [B,T,D] cut into chunks of these lengths.
Tensors cut(const Tensor& x, std::span<const std::int64_t> lengths) {
  const NoTape off;
  Tensors chunks;
  std::int64_t begin = 0;
  for (const std::int64_t length : lengths) {
    chunks.push_back(ops::slice(x, 1, begin, begin + length).detach());
    begin += length;
  }
  return chunks;
}

}  // namespace

const LayerEntry& find_layer_entry(const std::string& name) {
  std::vector<std::string> names;
  for (const Registry<LayerEntry>* registry : {&layer_registry(), &feed_forward_registry()}) {
    if (const LayerEntry* entry = registry->find(name)) return *entry;
    for (const std::string& other : registry->names()) names.push_back(other);
  }
  if (name.find('+') != std::string::npos) {
    throw UsageError("'{}' is a hybrid of several layers, and one is wanted; give its parts in turn", name);
  }
  throw UsageError(unknown_name_message("layer", name, names));
}

SingleLayer make_single_layer(const LayerEntry& entry, std::int64_t d_model, const nlohmann::json& options,
                              std::int64_t max_length) {
  SingleLayer single;
  single.options = Options(entry.options, options, "layer " + entry.name);
  Builder builder(d_model, single.options, single.parameters);
  builder.max_length = max_length;
  single.layer = entry.make(builder);
  if (single.layer == nullptr) throw Error("layer {}: its entry's make returned no layer", entry.name);
  return single;
}

LayerResult evaluate(const SingleLayer& single, const Tensor& x, const Tensor& dy,
                     std::span<const std::int64_t> chunks) {
  if (x.rank() != 3 || std::accumulate(chunks.begin(), chunks.end(), std::int64_t{0}) != x.dim(1)) {
    throw Error("the lengths of the chunks do not add up to the sequence's, of x {}", x.shape().str());
  }
  const bool gradients = dy.defined();
  std::optional<NoTape> off;
  if (!gradients) off.emplace();
  Context context;
  context.progress = 1;

  Tensors wanted = cut(x, chunks);
  Tensors outputs;
  State state = single.layer->initial_state(x.dim(0));
  for (Tensor& chunk : wanted) {
    if (gradients) chunk = chunk.variable();
    outputs.push_back(run(*single.layer, chunk, state, context));
  }
  LayerResult result{.y = join(outputs), .dx = {}, .parameter_grads = {}};
  if (!gradients) return result;

  for (const Parameter& parameter : single.parameters) wanted.push_back(parameter.value());
  Tensors grads = grad(outputs, wanted, cut(dy, chunks), {.create_graph = false, .release_tape = true});
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) grads[i] = Tensor::zeros(wanted[i].shape(), wanted[i].dtype());
  }
  result.dx = join(std::span(grads).first(chunks.size()));
  result.parameter_grads.assign(grads.begin() + static_cast<std::ptrdiff_t>(chunks.size()), grads.end());
  return result;
}

}  // namespace zoo
