#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zoo/core/device.h"
#include "zoo/core/shared_traffic.h"
#include "zoo/core/tensor.h"

namespace zoo {

/// While one lives, the time of its thread's ops is added up by name: ops say where they begin and end by a
/// ProfileScope. One inside another counts for itself alone, so that the times sum to what was measured. Without a
/// Profile a scope costs the reading of one pointer.
class Profile {
 public:
  Profile();
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  struct Entry {
    std::string name;
    std::string pass;  ///< "forward", "backward" or "update"
    std::int64_t calls = 0;
    double seconds = 0;
    double flops = 0;          ///< counted meanwhile (count_flops)
    double bytes = 0;          ///< that ops had to read and write at least (ProfileScope::moves)
    DeviceCounts device = {};  ///< what was given to the GPU meanwhile, and how often the host touched its tensors
    /// That GPUs' kernels would move through shared memory meanwhile, where CountsSharedTraffic wants it; 0 of ops that
    /// are not modelled.
    SharedBytes shared_bytes = {};
  };
  /// What was added up so far, the longest time first.
  std::vector<Entry> entries() const;

 private:
  friend class ProfileScope;
  using Clock = std::chrono::steady_clock;

  struct Total {
    std::int64_t calls = 0;
    Clock::duration time{};
    double flops = 0;
    double bytes = 0;
    DeviceCounts device = {};
    SharedBytes shared_bytes = {};
  };

  void enter(std::string_view name, std::string_view pass);
  void leave();
  // To the innermost scope, whose number is `order`.
  void add_bytes(std::int64_t order, std::initializer_list<std::span<const Tensor>> read,
                 std::span<const Tensor> written);
  // Adds what has passed since the last change of scope to the innermost one.
  void charge();

  Profile* outer_;
  std::int64_t entered_ = 0;                     // scopes so far
  std::map<const void*, std::int64_t> made_by_;  // the number of the scope that made what lies there
  std::map<std::pair<std::string, std::string>, Total> totals_;
  std::vector<Total*> open_;  // the scopes that have begun and not ended, innermost last
  Clock::time_point last_time_;
  double last_flops_ = 0;
  DeviceCounts last_device_;
  SharedBytes last_shared_bytes_ = {};
};

/// One stretch of work, from construction to destruction, for the thread's Profile if there is one.
class ProfileScope {
 public:
  ProfileScope(std::string_view name, std::string_view pass);
  ~ProfileScope() {
    if (profile_ != nullptr) profile_->leave();
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

  /// Says what a kernel is given and what it makes, once it is done: the bytes of each tensor are added up once. A
  /// tensor that lies where one that is read lies (a reshape, a gradient that is passed on) is not moved, and neither
  /// of the two counts. Where all that is made was made in scopes that were entered meanwhile, the work was theirs, and
  /// nothing is added.
  void moves(std::initializer_list<std::span<const Tensor>> read, std::span<const Tensor> written) {
    if (profile_ != nullptr) profile_->add_bytes(order_, read, written);
  }

 private:
  Profile* profile_;
  std::int64_t order_ = 0;  // its number among the scopes of the profile
};

}  // namespace zoo
