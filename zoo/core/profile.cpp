#include "zoo/core/profile.h"

#include <algorithm>
#include <utility>

#include "zoo/core/flops.h"

namespace zoo {

namespace {

thread_local Profile* current = nullptr;

// Where the elements lie, without waiting for those who write them.
const void* place_of(const Tensor& x) {
  switch (x.dtype()) {
    case DType::f32:
      return x.device_data<float>();
    case DType::f64:
      return x.device_data<double>();
    case DType::i32:
    case DType::bf16:  // which no op reads or makes
      break;
  }
  return x.device_data<std::int32_t>();
}

}  // namespace

Profile::Profile() : outer_(std::exchange(current, this)) {}

Profile::~Profile() {
  current = outer_;
}

void Profile::charge() {
  const Clock::time_point now = Clock::now();
  const double flops = flops_counted();
  const DeviceCounts device = device_counts();
  const SharedBytes shared_bytes = shared_bytes_counted();
  if (!open_.empty()) {
    open_.back()->time += now - last_time_;
    open_.back()->flops += flops - last_flops_;
    open_.back()->device.kernels += device.kernels - last_device_.kernels;
    open_.back()->device.host_accesses += device.host_accesses - last_device_.host_accesses;
    for (std::size_t i = 0; i < modelled_gpus; ++i)
      open_.back()->shared_bytes[i] += shared_bytes[i] - last_shared_bytes_[i];
  }
  last_time_ = now;
  last_flops_ = flops;
  last_device_ = device;
  last_shared_bytes_ = shared_bytes;
}

void Profile::enter(std::string_view name, std::string_view pass) {
  charge();
  Total& total = totals_[{std::string(name), std::string(pass)}];
  ++total.calls;
  ++entered_;
  open_.push_back(&total);
}

void Profile::leave() {
  charge();
  open_.pop_back();
}

void Profile::add_bytes(std::int64_t order, std::initializer_list<std::span<const Tensor>> read,
                        std::span<const Tensor> written) {
  std::map<const void*, double> moved;
  for (const std::span<const Tensor> tensors : read) {
    for (const Tensor& x : tensors) {
      if (x.defined()) moved[place_of(x)] = static_cast<double>(x.bytes());
    }
  }
  std::map<const void*, double> made;
  bool own_work = false;
  for (const Tensor& x : written) {
    if (!x.defined() || moved.erase(place_of(x)) > 0) continue;
    made[place_of(x)] = static_cast<double>(x.bytes());
    std::int64_t& maker = made_by_[place_of(x)];
    own_work |= maker < order;
    maker = std::max(maker, order);
  }
  if (!own_work) return;
  moved.merge(made);
  for (const auto& [place, bytes] : moved) open_.back()->bytes += bytes;
}

std::vector<Profile::Entry> Profile::entries() const {
  std::vector<Entry> entries;
  for (const auto& [key, total] : totals_) {
    entries.push_back({.name = key.first,
                       .pass = key.second,
                       .calls = total.calls,
                       .seconds = std::chrono::duration<double>(total.time).count(),
                       .flops = total.flops,
                       .bytes = total.bytes,
                       .device = total.device,
                       .shared_bytes = total.shared_bytes});
  }
  std::ranges::stable_sort(entries, std::greater{}, &Entry::seconds);
  return entries;
}

ProfileScope::ProfileScope(std::string_view name, std::string_view pass) : profile_(current) {
  if (profile_ == nullptr) return;
  profile_->enter(name, pass);
  order_ = profile_->entered_;
}

}  // namespace zoo
