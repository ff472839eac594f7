#include "zoo/core/registry.h"

#include "zoo/nn/layer.h"

namespace zoo {

Registry<LayerEntry>& layer_registry() {
  static Registry<LayerEntry> registry("layer");
  return registry;
}

Registry<LayerEntry>& feed_forward_registry() {
  static Registry<LayerEntry> registry("feed-forward");
  return registry;
}

}  // namespace zoo
