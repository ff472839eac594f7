#include "zoo/gpu/step_graphs.h"

#include <utility>

namespace zoo::gpu {

void StepGraphs::begin(StepPart part) {
  part_ = static_cast<std::size_t>(part);
  place_ = 0;
  in_scope_ = std::exchange(seen_[part_], true);
}

void StepGraphs::end() noexcept {
  try {
    give();
  } catch (...) {
    failure_ = std::current_exception();
  }
  in_scope_ = false;
}

void StepGraphs::expect_work() {
  if (!in_scope_ || recording_) return;
  std::vector<Graph>& graphs = graphs_[part_];
  if (place_ == graphs.size()) graphs.emplace_back();
  graphs[place_].record(*stream_);
  recording_ = true;
}

void StepGraphs::give() {
  if (const std::exception_ptr failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
  if (!std::exchange(recording_, false)) return;
  Graph& graph = graphs_[part_][place_];
  if (!graph.finish(*stream_)) return;
  graph.launch(*stream_);
  ++place_;
  ++counts_.launched;
  counts_.built += graph.built() ? 1 : 0;
  counts_.work += graph.size();
}

}  // namespace zoo::gpu
