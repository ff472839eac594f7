#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {

/// Named entries of one kind (layers, tasks, backbones, feed-forwards). `Entry` has a member `std::string name`.
/// Entries are never removed, so references to them stay valid.
template <typename Entry>
class Registry {
 public:
  /// `kind` is the noun of messages: "layer", "task".
  explicit Registry(std::string kind) : kind_(std::move(kind)) {}

  /// Throws UsageError if the name is taken or empty.
  void add(Entry entry) {
    if (entry.name.empty()) throw UsageError("a {} was registered without a name", kind_);
    if (find(entry.name) != nullptr) throw UsageError("{} '{}' is already registered; rename yours", kind_, entry.name);
    entries_.push_back(std::move(entry));
  }

  /// The entry, or nullptr.
  const Entry* find(std::string_view name) const {
    auto at = std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.name == name; });
    return at == entries_.end() ? nullptr : &*at;
  }

  /// The entry; throws UsageError with the nearest name for one that is not there.
  const Entry& get(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    throw UsageError(unknown_name_message(kind_, name, names()));
  }

  /// In the order of registration.
  const std::deque<Entry>& entries() const { return entries_; }

  /// Sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Entry& entry : entries_) all.push_back(entry.name);
    std::ranges::sort(all);
    return all;
  }

 private:
  std::string kind_;
  std::deque<Entry> entries_;
};

}  // namespace zoo
