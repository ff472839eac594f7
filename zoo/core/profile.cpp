#include "zoo/core/profile.h"

#include <algorithm>

#include "zoo/core/flops.h"

namespace zoo {

namespace {
thread_local Profile* current = nullptr;
}

Profile::Profile() : outer_(std::exchange(current, this)) {}

Profile::~Profile() {
  current = outer_;
}

void Profile::charge() {
  const Clock::time_point now = Clock::now();
  const double flops = flops_counted();
  const DeviceCounts device = device_counts();
  if (!open_.empty()) {
    open_.back()->time += now - last_time_;
    open_.back()->flops += flops - last_flops_;
    open_.back()->device.kernels += device.kernels - last_device_.kernels;
    open_.back()->device.host_accesses += device.host_accesses - last_device_.host_accesses;
  }
  last_time_ = now;
  last_flops_ = flops;
  last_device_ = device;
}

void Profile::enter(std::string_view name, std::string_view pass) {
  charge();
  Total& total = totals_[{std::string(name), std::string(pass)}];
  ++total.calls;
  open_.push_back(&total);
}

void Profile::leave() {
  charge();
  open_.pop_back();
}

std::vector<Profile::Entry> Profile::entries() const {
  std::vector<Entry> entries;
  for (const auto& [key, total] : totals_) {
    entries.push_back({.name = key.first,
                       .pass = key.second,
                       .calls = total.calls,
                       .seconds = std::chrono::duration<double>(total.time).count(),
                       .flops = total.flops,
                       .device = total.device});
  }
  std::ranges::stable_sort(entries, std::greater{}, &Entry::seconds);
  return entries;
}

ProfileScope::ProfileScope(std::string_view name, std::string_view pass) : profile_(current) {
  if (profile_ != nullptr) profile_->enter(name, pass);
}

}  // namespace zoo
