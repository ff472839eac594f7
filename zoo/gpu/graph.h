#pragma once

#include <cstddef>
#include <memory>

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Work that a stream recorded instead of doing it, to be given to a stream as one: a CUDA graph, whose kernels start
/// one after the other without the host. Work means kernels, copies and fills, with the arguments that they were given.
///
/// While a stream records, nobody can wait for it, none of its events can be recorded or waited for, and device memory
/// can neither be allocated by device_allocate nor be freed: Error. What was to be computed is not there until the
/// graph has been launched and the stream waited for.
class Graph {
 public:
  struct State;

  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// From here on the stream records. Throws Error when it does already.
  void record(Stream& stream);
  /// Ends the recording, which becomes the graph; false when nothing was recorded, and the graph is then as it was.
  /// Where kinds and order of the work are those of the graph that was there, its arguments are replaced; otherwise it
  /// is built anew. Throws Error when the stream does not record.
  bool finish(Stream& stream);
  /// Whether the last finish() built the graph anew.
  bool built() const;
  /// Kernels, copies and fills in it.
  std::size_t size() const;
  /// Gives the stream the graph's work: all of it after what the stream was given before.
  void launch(Stream& stream);

 private:
  std::unique_ptr<State> state_;
};

}  // namespace zoo::gpu
