// What a block says about threads that wait for each other.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "zoo/gpu/emulation.h"
#include "zoo/gpu/host/block.h"
#include "zoo/gpu/host/heap.h"

namespace zoo::gpu::host {

std::string text(uint3 index) {
  return fmt::format("({}, {}, {})", index.x, index.y, index.z);
}

KernelFault Block::fault_of(const Thread* thread, std::string_view what) const {
  return KernelFault("kernel '{}', block {}{}: {} (ZOO_GPU_SEED={}, launch {})", function_name(launch_->function),
                     text(index_), thread == nullptr ? "" : fmt::format(", thread {}", text(thread->index)), what,
                     schedule_seed(), launch_->number);
}

unsigned Block::exited_lanes(unsigned warp) const {
  unsigned lanes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned thread = warp * 32 + lane;
    if (thread >= count_ || threads_[thread]->state == State::exited) lanes |= 1U << lane;
  }
  return lanes;
}

// "lane 3 has ended, lane 4 waits at __syncthreads at f.cu:7": the first of each kind among the lanes of a mask.
std::string Block::waiting_text(unsigned mask) const {
  std::string result;
  const unsigned warp = current_->number / 32;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    const unsigned number = warp * 32 + lane;
    if (number >= count_) return result + fmt::format("lane {} is beyond the block", lane);
    const Thread& thread = *threads_[number];
    if (thread.state == State::exited) return result + fmt::format("lane {} has ended", lane);
    if (thread.state == State::ready) continue;
    return result + fmt::format("lane {} waits at {} at {}", lane, thread.operation, text(thread.site));
  }
  return result;
}

KernelFault Block::race() const {
  const std::string where = shared_.contains(raced_address_, 1)
                                ? fmt::format("byte {} of shared memory", static_cast<const char*>(raced_address_) -
                                                                              static_cast<const char*>(shared_.begin()))
                                : heap().describe(raced_address_);
  return fault_of(racer_,
                  fmt::format("race: this thread's access to {} and another's have nothing between them that orders "
                              "them; ThreadSanitizer's report has both places. Put a barrier between them (of the "
                              "warp, the block, or an event), or make both atomic",
                              where));
}

KernelFault Block::deadlock() {
  const Thread* waits = nullptr;
  const Thread* ended = nullptr;
  unsigned ended_count = 0;
  for (unsigned i = 0; i < count_; ++i) {
    const Thread& thread = *threads_[i];
    if (thread.state == State::exited) {
      ++ended_count;
      if (ended == nullptr) ended = &thread;
    } else if (waits == nullptr || (waits->state == State::at_barrier && thread.state == State::at_warp_operation)) {
      waits = &thread;
    }
  }
  if (waits->state == State::at_barrier)
    return fault_of(waits,
                    fmt::format("divergent barrier: it waits at {} at {}, but {} of {} threads have ended, thread {} "
                                "the first of them; all threads of a block must come to the same barrier, so let a "
                                "thread without work skip the work, not return",
                                waits->operation, text(waits->site), ended_count, count_, text(ended->index)));
  const unsigned warp = waits->number / 32;
  current_ = threads_[waits->number].get();
  unsigned missing = 0;
  for (const Meeting& meeting : warps_[warp].meetings) {
    if (meeting.mask == waits->mask) missing = meeting.mask & ~meeting.arrived;
  }
  if ((missing & exited_lanes(warp)) != 0)
    return fault_of(
        waits,
        fmt::format("wrong mask: {} at {} waits for mask {:#010x}, but {}; name only lanes that come here",
                    waits->operation, text(waits->site), waits->mask, waiting_text(missing & exited_lanes(warp))));
  return fault_of(waits,
                  fmt::format("deadlock: {} at {} waits for mask {:#010x}, but {}; all lanes of a mask must come to "
                              "the same operation",
                              waits->operation, text(waits->site), waits->mask, waiting_text(missing)));
}

}  // namespace zoo::gpu::host
