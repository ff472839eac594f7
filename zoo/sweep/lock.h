#pragma once

#include <string>

namespace zoo {

/// Held by the one sweep that may write a store, through a file beside it (the name with ".lock" added). The system
/// frees it however the process ends.
class StoreLock {
 public:
  /// Throws UsageError when another sweep holds it, naming its process, or when the file cannot be made.
  explicit StoreLock(const std::string& store_path);
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

 private:
  int file_;
};

}  // namespace zoo
