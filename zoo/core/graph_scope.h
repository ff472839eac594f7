#pragma once

#include <cstdint>

namespace zoo {

/// Whether steps of training are given to the GPU as graphs; off unless set_graphs(true).
bool graphs_on();
/// Throws UsageError, saying what to do, for graphs on the device cpu.
void set_graphs(bool on);

/// What repeats within and between steps of training: work of one kind is launched by the same kernels in the same
/// order each time, as a rule.
enum class StepPart : std::uint8_t {
  first_part,  ///< of a batch: forward, backward, gradients copied to the optimizer's
  other_part,  ///< the same, gradients added to the optimizer's
  update       ///< of the parameters
};

/// While one lives and graphs are on, this process's work for the GPU is recorded instead of given to it one by one. It
/// is given as a graph when the host asks for elements of a tensor, and at the end of the scope, and then recording
/// goes on: results are those without graphs, bit for bit, and what the host reads decides only into how many graphs a
/// step is cut. A graph is built where its kernels, or their order, are not those of the graph at the same place of the
/// scope before; otherwise only its arguments are replaced. The first scope of each part is not recorded: libraries are
/// started and kernels loaded meanwhile.
class GraphScope {
 public:
  explicit GraphScope(StepPart part);
  ~GraphScope();
  GraphScope(const GraphScope&) = delete;
  GraphScope& operator=(const GraphScope&) = delete;

 private:
  bool active_;
};

/// What scopes have given to the GPU so far.
struct GraphCounts {
  std::uint64_t launched = 0;  ///< graphs
  std::uint64_t built = 0;     ///< of them those that were built anew
  std::uint64_t work = 0;      ///< kernels, copies and fills in them
};
GraphCounts graph_counts();

}  // namespace zoo
