#pragma once

#include <cstdint>
#include <span>

namespace zoo {

/// The processes that work on one thing together, each the same program at the same place when it calls a sum. This one
/// is a process alone; others are MPI's.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  /// Replaces each value by its sum over all ranks, of which all get the same bits.
  virtual void sum(std::span<float> /*values*/) {}
  virtual void sum(std::span<double> /*values*/) {}
  virtual void sum(std::span<std::uint64_t> /*values*/) {}
  /// Ends all ranks with this exit code: for one that cannot go on while the others wait for it. Returns where there
  /// are no others.
  virtual void abort(int /*exit_code*/) {}
};

}  // namespace zoo
