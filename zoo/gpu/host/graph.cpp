#include "zoo/gpu/graph.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/gpu/host/queues.h"

namespace zoo::gpu {

// Operations with copies of their arguments. A launch puts copies of them into the stream, where they mix with the work
// of other streams as any does.
struct Graph::State {
  std::vector<host::Operation> work = {};
  bool built = false;
};

Graph::Graph() : state_(std::make_unique<State>()) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::record(Stream& stream) {
  const std::lock_guard lock(host::device_mutex());
  if (stream.state().recording != nullptr) throw Error("a stream was asked to record, but it records already");
  stream.state().recording = std::make_unique<std::vector<host::Operation>>();
}

bool Graph::finish(Stream& stream) {
  const std::lock_guard lock(host::device_mutex());
  const auto recorded = std::move(stream.state().recording);
  if (recorded == nullptr) throw Error("a recording was ended, but the stream does not record");
  if (recorded->empty()) return false;
  state_->built = !std::ranges::equal(*recorded, state_->work, {}, &host::Operation::kind, &host::Operation::kind);
  state_->work = std::move(*recorded);
  return true;
}

bool Graph::built() const {
  return state_->built;
}

std::size_t Graph::size() const {
  return state_->work.size();
}

void Graph::launch(Stream& stream) {
  const std::lock_guard lock(host::device_mutex());
  for (const host::Operation& each : state_->work) host::enqueue(stream, each);
}

}  // namespace zoo::gpu
