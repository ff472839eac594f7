// How the lanes of a warp meet, and the copies that a thread has under way.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "zoo/gpu/host/block.h"
#include "zoo/gpu/host/sanitizers.h"

namespace zoo::gpu::host {

void Block::check_mask(unsigned mask, const char* name, Site site) const {
  if ((mask >> lane() & 1) == 0)
    throw fault(fmt::format("wrong mask: {} at {} is called by lane {}, which is not in its mask {:#010x}", name,
                            text(site), lane(), mask));
  if (const unsigned gone = mask & exited_lanes(current_->number / 32); gone != 0)
    throw fault(fmt::format("wrong mask: {} at {} waits for mask {:#010x}, but {}; name only lanes that come here",
                            name, text(site), mask, waiting_text(gone)));
}

// Two lanes that wait for each other at different operations will wait for ever.
void Block::check_meetings(const Warp& warp, unsigned mask, const WarpOperation& operation, Site site) const {
  for (const Meeting& other : warp.meetings) {
    const bool mutual = (other.arrived & mask) != 0 && (other.mask >> lane() & 1) != 0;
    if (!mutual || (other.mask == mask && other.operation == &operation && other.site == site)) continue;
    throw fault(
        fmt::format("wrong mask: lane {} comes to {} at {} with mask {:#010x}, while lane {} waits for it at {} at "
                    "{} with mask {:#010x}; all lanes of a mask must come to the same operation with the same mask",
                    lane(), operation.name, text(site), mask, std::countr_zero(other.arrived & mask),
                    other.operation->name, text(other.site), other.mask));
  }
}

void Block::meet(unsigned mask, const WarpOperation& operation, void* operand, Site site) {
  Thread& self = *current_;
  Warp& warp = warps_[self.number / 32];
  check_mask(mask, operation.name, site);
  check_meetings(warp, mask, operation, site);
  self.mask = mask;
  self.operand = operand;
  if (operation.orders_memory) release(&warp.tags[static_cast<std::size_t>(std::countr_zero(mask))]);
  auto meeting = std::ranges::find(warp.meetings, mask, &Meeting::mask);
  if (meeting == warp.meetings.end()) meeting = warp.meetings.insert(meeting, {mask, 0, &operation, site});
  meeting->arrived |= 1U << lane();
  if (meeting->arrived == mask) {
    finish_meeting(warp, static_cast<std::size_t>(meeting - warp.meetings.begin()));
    self.fiber.suspend();
    if (cancelled_) throw Cancelled();
  } else {
    wait(State::at_warp_operation, operation.name, site);
  }
}

void Block::finish_meeting(Warp& warp, std::size_t index) {
  const Meeting meeting = warp.meetings[index];
  warp.meetings.erase(warp.meetings.begin() + static_cast<std::ptrdiff_t>(index));
  const unsigned first = current_->number / 32 * 32;
  std::array<void*, 32> operands = {};
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((meeting.mask >> lane & 1) != 0) operands[lane] = threads_[first + lane]->operand;
  }
  if (meeting.operation->combine != nullptr) meeting.operation->combine(meeting.mask, operands.data());
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((meeting.mask >> lane & 1) == 0) continue;
    Thread& thread = *threads_[first + lane];
    if (meeting.operation->orders_memory)
      acquire_for(thread.fiber.trace(), &warp.tags[static_cast<std::size_t>(std::countr_zero(meeting.mask))]);
    wake(thread);
  }
}

void Block::begin_copy(PendingCopy copy, std::size_t bytes, Site site) {
  if (reinterpret_cast<std::uintptr_t>(copy.to) % bytes != 0 ||
      reinterpret_cast<std::uintptr_t>(copy.from) % bytes != 0)
    throw fault(
        fmt::format("misaligned access: copy_async at {} copies {} bytes from {} to {}; both addresses must be "
                    "multiples of {}",
                    text(site), bytes, copy.from, copy.to, bytes));
  if (!shared_.contains(copy.to, bytes))
    throw fault(
        fmt::format("out-of-bounds write: copy_async at {} writes {} bytes at {}, which is not in the block's {} "
                    "bytes of shared_memory()",
                    text(site), bytes, copy.to, shared_.bytes()));
  auto& groups = current_->copies;
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back(copy);
}

void Block::commit_copies() {
  auto& groups = current_->copies;
  if (groups.empty()) groups.emplace_back();
  groups.emplace_back();
}

void Block::wait_copies(std::size_t groups) {
  auto& pending = current_->copies;
  if (pending.empty()) return;
  // The last group is not committed: a wait does not reach it.
  const std::size_t committed = pending.size() - 1;
  const std::size_t arrive = committed > groups ? committed - groups : 0;
  for (std::size_t i = 0; i < arrive; ++i) {
    for (const PendingCopy& copy : pending[i]) copy.arrive(copy.to, copy.from);
  }
  pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(arrive));
}

}  // namespace zoo::gpu::host
