#include "zoo/core/graph_scope.h"

#include "zoo/core/accelerator.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"

namespace zoo {

namespace {

bool graphs_wanted = false;

}  // namespace

bool graphs_on() {
  return graphs_wanted;
}

void set_graphs(bool wanted) {
  if (wanted && current_device() == Device::cpu) {
    throw UsageError("graphs are the GPU's, and the device is cpu; give --device gpu, or --graphs off");
  }
  graphs_wanted = wanted;
}

GraphScope::GraphScope(StepPart part) : active_(graphs_wanted) {
  if (active_) accelerator().begin_graphs(part);
}

GraphScope::~GraphScope() {
  if (active_) accelerator().end_graphs();
}

GraphCounts graph_counts() {
  return on_gpu() ? accelerator().graph_counts() : GraphCounts{};
}

}  // namespace zoo
