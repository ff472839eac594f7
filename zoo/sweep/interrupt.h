#pragma once

#include <csignal>
#include <initializer_list>
#include <vector>

namespace zoo {

/// While one lives, the given signals do not end the process: they are counted, so that work can be saved first.
/// One at a time in a process.
class InterruptGuard {
 public:
  InterruptGuard(std::initializer_list<int> signals = {SIGINT, SIGTERM, SIGHUP});
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Signals that have come since this guard was made.
  static int count();

 private:
  std::vector<std::pair<int, struct sigaction>> previous_;
};

}  // namespace zoo
