#include "zoo/gpu/graph.h"

#include <utility>

#include "zoo/gpu/cuda/state.h"

namespace zoo::gpu {

struct Graph::State {
  cudaGraphExec_t executable = nullptr;
  std::size_t size = 0;
  bool built = false;

  ~State() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
  }
};

namespace {

struct Recorded {
  cudaGraph_t graph = nullptr;

  Recorded() = default;
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;
  ~Recorded() {
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
};

// Whether the executable graph is now what was recorded. One that cannot be changed into it is left as it was.
bool update(cudaGraphExec_t executable, cudaGraph_t recorded) {
  cudaGraphExecUpdateResultInfo info = {};
  const cudaError_t status = cudaGraphExecUpdate(executable, recorded, &info);
  if (status == cudaSuccess) return true;
  cudaGetLastError();  // must not meet a later call
  if (status != cudaErrorGraphExecUpdateFailure) cuda::check(status, "changing a graph");
  return false;
}

}  // namespace

Graph::Graph() : state_(std::make_unique<State>()) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;

void Graph::record(Stream& stream) {
  // Relaxed: what libraries and the driver do within a call, such as loading a kernel that runs for the first time,
  // must not end the recording. The emulated device enforces the rules.
  cuda::check(cudaStreamBeginCapture(stream.state().stream, cudaStreamCaptureModeRelaxed), "recording a graph");
}

bool Graph::finish(Stream& stream) {
  Recorded recorded;
  cuda::check(cudaStreamEndCapture(stream.state().stream, &recorded.graph), "ending the recording of a graph");
  std::size_t size = 0;
  cuda::check(cudaGraphGetNodes(recorded.graph, nullptr, &size), "counting what a graph holds");
  if (size == 0) return false;
  state_->size = size;
  state_->built = state_->executable == nullptr || !update(state_->executable, recorded.graph);
  if (!state_->built) return true;
  if (state_->executable != nullptr) {
    stream.synchronize();  // it may be running
    cuda::check(cudaGraphExecDestroy(std::exchange(state_->executable, nullptr)), "giving up a graph");
  }
  cuda::check(cudaGraphInstantiate(&state_->executable, recorded.graph, 0), "building a graph");
  return true;
}

bool Graph::built() const {
  return state_->built;
}

std::size_t Graph::size() const {
  return state_->size;
}

void Graph::launch(Stream& stream) {
  if (state_->executable != nullptr)
    cuda::check(cudaGraphLaunch(state_->executable, stream.state().stream), "launching a graph");
}

}  // namespace zoo::gpu
