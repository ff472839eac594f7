#pragma once

#include <algorithm>
#include <cstdint>

#include "zoo/core/parallel.h"
#include "zoo/cpu/partition.h"

namespace zoo::cpu {

/// Some neighbouring channels of one sequence: what a scan works through from the first step to the last.
struct ChannelBlock {
  std::int64_t sequence;
  std::int64_t first;  ///< channel
  std::int64_t count;  ///< of channels
};

/// Number of blocks that the channels of a sequence are cut into.
inline std::int64_t channel_blocks(std::int64_t channels, std::int64_t block_channels) {
  return (channels + block_channels - 1) / block_channels;
}

/// Calls body(block) for every block of every sequence, in parallel when a block of `steps` steps is worth it. The
/// blocks do not depend on the number of threads, so sums over them do not either.
template <typename Body>
void for_channel_blocks(std::int64_t batch, std::int64_t channels, std::int64_t block_channels, std::int64_t steps,
                        const Body& body) {
  const std::int64_t blocks = channel_blocks(channels, block_channels);
  for_rows(batch * blocks, std::min(channels, block_channels) * steps, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t first = item % blocks * block_channels;
      body(ChannelBlock{item / blocks, first, std::min(block_channels, channels - first)});
    }
  });
}

}  // namespace zoo::cpu
