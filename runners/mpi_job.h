#pragma once

#include <memory>

#include "zoo/sweep/ranks.h"

namespace zoo {

/// The MPI job that this process belongs to; nothing when it was not started by mpirun (or srun), or is alone in its
/// job. Throws UsageError when this zoo was built without MPI.
std::unique_ptr<Ranks> open_mpi_job();

}  // namespace zoo
