#pragma once

// What zoo/gpu/ptx.h is on the host executor.

#include <cstddef>

#include "zoo/gpu/host/fault_text.h"

namespace zoo::gpu::host {

/// Notes a copy of 4, 8 or 16 bytes to shared memory, which arrive(to, from) will make when it is waited for.
void begin_copy(void* to, const void* from, std::size_t bytes, void (*arrive)(void* to, const void* from), Site site);
void commit_copies();
void wait_copies(std::size_t groups);

/// The lane of the hardware's layout whose elements this lane holds: another permutation in every launch.
unsigned tile_lane();
/// The lane of the warp whose tile_lane() is `lane`.
unsigned lane_of_tile_lane(unsigned lane);
/// mma.sync of all 32 lanes, whose registers are laid out for tile_lane(); c += a b. The operands' formats: 10 bits of
/// mantissa, of which the hardware ignores the other 13 that a register has, or pairs of bfloat16.
void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], Site site);
void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], Site site);

}  // namespace zoo::gpu::host
