#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "zoo/core/collective.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Sums of device memory over the processes that work together (zoo/core/collective.h).
class RankSum {
 public:
  virtual ~RankSum() = default;
  /// Replaces each of `count` floats of unified memory by its sum over all ranks, of which all get the same bits: each
  /// number is added up by one rank, which tells the others. Waits until it is done. All ranks call it with the same
  /// count. Throws Error when it cannot be done.
  virtual void sum(float* values, std::int64_t count, Stream& stream) = 0;
};

/// By NCCL between GPUs, in builds that have it; otherwise, and on the emulated device, by `ranks` itself in the host's
/// memory. All ranks call it together, and `ranks` must outlive what it makes. Throws Error when NCCL does not start,
/// UsageError when two ranks have the same GPU.
std::unique_ptr<RankSum> make_rank_sum(Collective& ranks);

/// How make_rank_sum's sums are made, for records: "NCCL 2.28.9", or "MPI" with what is to be known about it.
std::string rank_sum_name();

}  // namespace zoo::gpu
