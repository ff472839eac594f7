#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/train/trainer.h"

namespace zoo {

/// How far a run is, beside what its trainer holds.
struct RunPosition {
  std::int64_t epochs = 0;         ///< whole epochs done
  std::int64_t epoch_steps = 0;    ///< steps done of the next one
  double epoch_loss = 0;           ///< sum of their losses
  double seconds = 0;              ///< of training so far
  double flops = 0;                ///< of training so far
  double validation_accuracy = 0;  ///< at the last epoch's end
};

/// Writes parameters, moments and position, atomically, for the run of this id.
void write_checkpoint(const std::string& path, const std::string& run_id, Trainer& trainer,
                      const RunPosition& position);

/// The position in the checkpoint at `path`, or nothing when there is none, or (with a warning on stderr) when it
/// cannot be read or is of another run or version. When `trainer` is given, its parameters and moments are set.
std::optional<RunPosition> read_checkpoint(const std::string& path, const std::string& run_id, Trainer* trainer);

}  // namespace zoo
