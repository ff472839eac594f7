#include "zoo/gpu/host/segmentation.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "zoo/gpu/host/block.h"
#include "zoo/gpu/host/heap.h"

namespace zoo::gpu::host {

namespace {

struct sigaction handler_before;

std::string explanation(const void* address) {
  const Block* block = Block::running();
  if (block != nullptr && block->overflowed(address))
    return block
        ->fault(
            "stack overflow: the thread's local variables need more than its stack; large arrays belong in "
            "shared memory")
        .what();
  if (!heap().contains(address)) return "";
  if (block != nullptr) return block->fault("out-of-bounds access: " + heap().describe(address)).what();
  return fmt::format("host code followed a device pointer: {}; copy it with copy_to_host_async or to_host first",
                     heap().describe(address));
}

void handle(int signal, siginfo_t* info, void*) {
  // The process ends here: what is not async-signal-safe below was not interrupted, since the fault is the program's
  // own.
  const std::string text = explanation(info->si_addr);
  if (!text.empty()) {
    const std::string line = "zoo: " + text + "\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
  }
  // Back to the access, which now fails as it would have without this handler.
  sigaction(signal, &handler_before, nullptr);
}

// The handler cannot run on a stack that has overflowed.
class AlternateStack {
 public:
  AlternateStack() : memory_(256 * 1024) {
    stack_t stack = {};
    stack.ss_sp = memory_.data();
    stack.ss_size = memory_.size();
    sigaltstack(&stack, &before_);
  }
  ~AlternateStack() { sigaltstack(&before_, nullptr); }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  std::vector<char> memory_;
  stack_t before_ = {};
};

}  // namespace

void watch_segmentation_faults() {
  static thread_local const AlternateStack stack;
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    return sigaction(SIGSEGV, &action, &handler_before) == 0;
  }();
  static_cast<void>(installed);
}

}  // namespace zoo::gpu::host
