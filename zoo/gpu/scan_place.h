#pragma once

#include "zoo/gpu/kernel.h"

namespace zoo::gpu {

/// What a thread of a scan over time computes: the lanes of a warp have neighbouring channels, the warps of the block
/// neighbouring pieces of time.
struct ScanPlace {
  int piece, pieces, lane, sequence, channel;
  bool inside;  ///< false for lanes beyond the last channel, which compute nothing but come to the barriers

  __device__ explicit ScanPlace(int channels)
      : piece(static_cast<int>(threadIdx.x) / 32),
        pieces(static_cast<int>(blockDim.x) / 32),
        lane(static_cast<int>(threadIdx.x) % 32) {
    const int blocks = (channels + 31) / 32;
    sequence = static_cast<int>(blockIdx.x) / blocks;
    channel = static_cast<int>(blockIdx.x) % blocks * 32 + lane;
    inside = channel < channels;
  }
  /// Where this lane's value of a piece lies in shared memory, [pieces, 32].
  __device__ int in_shared(int of_piece) const { return of_piece * 32 + lane; }
};

}  // namespace zoo::gpu
