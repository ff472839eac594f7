#include "zoo/sweep/interrupt.h"

#include <atomic>

namespace zoo {

namespace {

std::atomic<int> signals_seen{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

extern "C" void count_signal(int) {
  ++signals_seen;
}

}  // namespace

InterruptGuard::InterruptGuard(std::initializer_list<int> signals) {
  signals_seen = 0;
  for (const int signal : signals) {
    struct sigaction action = {};
    action.sa_handler = count_signal;  // without SA_RESTART, so that waiting calls return at once
    struct sigaction before = {};
    sigaction(signal, &action, &before);
    previous_.emplace_back(signal, before);
  }
}

InterruptGuard::~InterruptGuard() {
  for (const auto& [signal, before] : previous_) sigaction(signal, &before, nullptr);
}

int InterruptGuard::count() {
  return signals_seen;
}

}  // namespace zoo
