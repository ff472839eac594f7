#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <vector>

#include "zoo/core/graph_scope.h"
#include "zoo/gpu/graph.h"

namespace zoo::gpu {

/// Turns what a stream is given within a scope (GraphScope) into graphs. A recording begins with the first work and
/// ends where the host must see results; the graph at that place of the scope, the second of them say, is then what was
/// recorded, and is launched. So a step is right whatever the host looks at within it; the fewer the looks, the fewer
/// the graphs.
class StepGraphs {
 public:
  explicit StepGraphs(Stream& stream) : stream_(&stream) {}

  /// Begins a scope. The first of each part is not recorded.
  void begin(StepPart part);
  /// Gives what was recorded and ends the scope. What goes wrong is thrown by the next give().
  void end() noexcept;
  /// Work is coming: records from here on, within a scope.
  void expect_work();
  /// Ends the recording, if there is one, and gives the graph to the stream.
  void give();
  bool recording() const { return recording_; }
  const GraphCounts& counts() const { return counts_; }

 private:
  static constexpr std::size_t parts = 3;

  Stream* stream_;
  std::array<std::vector<Graph>, parts> graphs_;  // by their place in the scope
  std::array<bool, parts> seen_ = {};
  bool in_scope_ = false;
  bool recording_ = false;
  std::size_t part_ = 0;
  std::size_t place_ = 0;  // of the graph that is recorded next
  GraphCounts counts_;
  std::exception_ptr failure_;
};

}  // namespace zoo::gpu
