#include "zoo/gpu/host/words.h"

#include <fmt/format.h>

#include <atomic>

#include "zoo/gpu/host/block.h"
#include "zoo/gpu/host/numbers.h"
#include "zoo/gpu/host/sanitizers.h"
#include "zoo/gpu/host/warp_words.h"

namespace zoo::gpu::host {

namespace {

struct ShuffleOperand {
  std::uint64_t value;
  unsigned from;
  std::uint64_t result;
};

void combine_shuffle(unsigned mask, void* const* operands) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    auto& self = *static_cast<ShuffleOperand*>(operands[lane]);
    const bool named = (mask >> self.from & 1) != 0;
    self.result = named ? static_cast<ShuffleOperand*>(operands[self.from])->value : ~std::uint64_t{0};
  }
}

struct BallotOperand {
  bool predicate;
  unsigned result;
};

void combine_ballot(unsigned mask, void* const* operands) {
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0 && static_cast<BallotOperand*>(operands[lane])->predicate) result |= 1U << lane;
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0) static_cast<BallotOperand*>(operands[lane])->result = result;
  }
}

void combine_sum(unsigned mask, void* const* operands) {
  unsigned sum = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0) sum += *static_cast<unsigned*>(operands[lane]);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0) *static_cast<unsigned*>(operands[lane]) = sum;
  }
}

// CUDA promises that __syncwarp orders memory, and nothing of the kind for the others.
constexpr WarpOperation sync_operation = {"__syncwarp", nullptr, true};
constexpr WarpOperation shuffle_operations[] = {{"__shfl_sync", combine_shuffle, false},
                                                {"__shfl_up_sync", combine_shuffle, false},
                                                {"__shfl_down_sync", combine_shuffle, false},
                                                {"__shfl_xor_sync", combine_shuffle, false}};
constexpr WarpOperation ballot_operations[] = {{"__ballot_sync", combine_ballot, false},
                                               {"__any_sync", combine_ballot, false},
                                               {"__all_sync", combine_ballot, false}};
constexpr WarpOperation sum_operation = {"__reduce_add_sync", combine_sum, false};

// The lane that a shuffle reads from, as PTX defines it for segments of `width` lanes.
unsigned source_lane(Shuffle kind, unsigned lane, unsigned by, unsigned width) {
  const unsigned segment = lane & ~(width - 1);
  switch (kind) {
    case Shuffle::index:
      return segment | (by & (width - 1));
    case Shuffle::up:
      return lane >= segment + by ? lane - by : lane;
    case Shuffle::down:
      return lane + by < segment + width ? lane + by : lane;
    case Shuffle::exclusive_or:
      return (lane ^ by) < segment + width ? lane ^ by : lane;
  }
  return lane;
}

char fence_tag = 0;

}  // namespace

int sync_threads(const char* name, bool predicate, Site site) {
  return Block::running(name).barrier(name, predicate, site);
}

void thread_fence() {
  // ThreadSanitizer knows no fences. Threads that both fence are taken as ordered; the rest stays checked.
  acquire(&fence_tag);
  release(&fence_tag);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void warp_sync(unsigned mask, Site site) {
  Block::running("__syncwarp").meet(mask, sync_operation, nullptr, site);
}

unsigned warp_ballot(Ballot kind, unsigned mask, bool predicate, Site site) {
  const WarpOperation& operation = ballot_operations[static_cast<std::size_t>(kind)];
  BallotOperand operand = {predicate, 0};
  Block::running(operation.name).meet(mask, operation, &operand, site);
  return operand.result;
}

std::uint64_t warp_shuffle(Shuffle kind, unsigned mask, std::uint64_t value, int by, int width, Site site) {
  const WarpOperation& operation = shuffle_operations[static_cast<std::size_t>(kind)];
  Block& block = Block::running(operation.name);
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    throw block.fault(
        fmt::format("{} at {} has width {}; it must be 1, 2, 4, 8, 16 or 32", operation.name, text(site), width));
  const unsigned from = source_lane(kind, block.lane(), static_cast<unsigned>(by), static_cast<unsigned>(width)) & 31;
  ShuffleOperand operand = {value, from, 0};
  block.meet(mask, operation, &operand, site);
  return operand.result;
}

unsigned warp_sum(unsigned mask, unsigned value, Site site) {
  Block::running(sum_operation.name).meet(mask, sum_operation, &value, site);
  return value;
}

void atomic_yield(bool blocked) {
  if (Block* block = Block::running()) block->yield(blocked);
}

void check_alignment(const void* address, std::size_t alignment, Site site) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment == 0) return;
  throw Block::running("__ldg").fault(fmt::format(
      "misaligned access: __ldg at {} reads from {}, which is not a multiple of {}", text(site), address, alignment));
}

void* block_shared_memory(std::size_t bytes, std::size_t alignment) {
  return Block::running("shared_memory").shared_memory(bytes, alignment);
}

}  // namespace zoo::gpu::host
