#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "zoo/core/collective.h"

// Which GPU belongs to which process of a job: the device() of one is that with its local_rank(), modulo their number.

namespace zoo::gpu {

/// The number of this process among those of its job on the same machine, as its launcher says (Open MPI; Intel MPI and
/// MPICH; Slurm); 0 where none does. Throws UsageError when what it says is no number.
int local_rank();

/// " for local rank 1 on the machine NAME" in a job, "" outside: what a message about a device that is missing needs.
std::string place_of_rank();

/// What a GPU is told apart by, on all machines: its UUID.
using DeviceIdentity = std::array<std::uint64_t, 2>;

/// Throws UsageError on all ranks when two of them have the same device; it names both, `device_name`, the number of
/// devices that this machine shows, and what to do. All ranks call it together.
void require_a_device_each(Collective& ranks, const DeviceIdentity& own, const std::string& device_name,
                           int devices_here);

}  // namespace zoo::gpu
