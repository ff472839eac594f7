#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/gpu/fault.h"
#include "zoo/gpu/host/arena.h"
#include "zoo/gpu/host/fault_text.h"
#include "zoo/gpu/host/fiber.h"
#include "zoo/gpu/host/schedule.h"
#include "zoo/gpu/host/vector_types.h"

namespace zoo::gpu::host {

/// One launch of a kernel, as its blocks see it.
struct Launch {
  const void* function = nullptr;
  std::function<void()> kernel;  ///< calls the kernel with its arguments, as one thread
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes = 0;
  std::uint64_t number = 0;
  char ended = 0;  ///< for ThreadSanitizer: what all its threads did

  std::uint64_t threads() const { return std::uint64_t{block.x} * block.y * block.z; }
  std::uint64_t blocks() const { return std::uint64_t{grid.x} * grid.y * grid.z; }
};

/// What the lanes of a warp do together once all of them have come.
struct WarpOperation {
  const char* name;
  /// operands[lane] is what the lane brought, for the lanes of the mask; results are written there too.
  void (*combine)(unsigned mask, void* const* operands);
  bool orders_memory;
};

/// A copy to shared memory whose data have not arrived.
struct PendingCopy {
  void* to;
  const void* from;
  void (*arrive)(void* to, const void* from);
};

/// Runs the blocks of a kernel one after another, every CUDA thread of a block as a fiber, in a random order. Threads
/// change only at barriers, warp operations and atomics.
class Block {
 public:
  /// Runs one block to its end. Throws KernelFault for what the kernel did wrong, or what it threw itself.
  void run(Launch& launch, std::uint64_t index);

  /// The block that this thread of the machine runs now, or nullptr outside kernels.
  static Block* running();
  /// The same; throws Error naming `operation` outside kernels.
  static Block& running(const char* operation);

  // What follows is called by the kernel's threads.

  /// Waits for all threads of the block; how many of them gave a predicate that is not 0.
  int barrier(const char* name, bool predicate, Site site);
  /// Waits for the lanes of `mask`, and does the operation with the operands that they brought.
  void meet(unsigned mask, const WarpOperation& operation, void* operand, Site site);
  /// May let another thread run; always does when `blocked`, which says that this one waits for another's store.
  void yield(bool blocked);
  unsigned lane() const;
  /// The launch's dynamic shared memory. Throws KernelFault when it has fewer than `bytes`.
  void* shared_memory(std::size_t bytes, std::size_t alignment);
  /// The same, however large, for those who count what is done there.
  const Arena& shared() const { return shared_; }
  void begin_copy(PendingCopy copy, std::size_t bytes, Site site);
  void commit_copies();
  /// Lets the data of all but the newest `groups` groups arrive.
  void wait_copies(std::size_t groups);
  /// For the lane mapping of tiles: the same for all warps of a launch.
  std::uint64_t launch_seed() const;
  /// The running thread's access to `address` raced with another's: the block ends with a fault.
  void note_race(const void* address);
  /// A fault of the running thread.
  KernelFault fault(std::string_view what) const;
  /// The address of an access that failed lies below the running thread's stack.
  bool overflowed(const void* address) const;

 private:
  enum class State { ready, at_barrier, at_warp_operation, exited };
  struct Thread {
    explicit Thread(std::size_t stack_number) : fiber(stack_number) {}
    Fiber fiber;
    Block* block = nullptr;
    unsigned number = 0;
    uint3 index = {};
    State state = State::ready;
    const char* operation = "";
    Site site;
    unsigned mask = 0;
    void* operand = nullptr;
    int barrier_result = 0;
    std::vector<std::vector<PendingCopy>> copies;  ///< groups, oldest first; the last is not committed
  };
  struct Meeting {
    unsigned mask;
    unsigned arrived;
    const WarpOperation* operation;
    Site site;
  };
  struct Warp {
    std::vector<Meeting> meetings;
    std::array<char, 32> tags;  ///< for ThreadSanitizer, by a mask's first lane
  };
  struct Cancelled {};

  void prepare(Launch& launch, std::uint64_t index);
  void start_threads();
  void schedule();
  void enter(Thread& thread);
  void wait(State state, const char* operation, Site site);
  void wake(Thread& thread);
  void finish_barrier();
  void finish_meeting(Warp& warp, std::size_t index);
  unsigned exited_lanes(unsigned warp) const;
  void check_mask(unsigned mask, const char* name, Site site) const;
  void check_meetings(const Warp& warp, unsigned mask, const WarpOperation& operation, Site site) const;
  std::string waiting_text(unsigned mask) const;
  KernelFault deadlock();
  KernelFault race() const;
  void find_faults_of_the_end();
  KernelFault fault_of(const Thread* thread, std::string_view what) const;

  Launch* launch_ = nullptr;
  uint3 index_ = {};
  Random random_{0};
  std::vector<std::unique_ptr<Thread>> threads_;
  unsigned count_ = 0;
  std::vector<Thread*> ready_;
  Thread* current_ = nullptr;
  std::vector<Warp> warps_;
  unsigned at_barrier_ = 0;
  const Thread* first_at_barrier_ = nullptr;
  int predicates_ = 0;
  char barrier_tag_ = 0;
  std::uint64_t fruitless_ = 0;
  bool cancelled_ = false;
  std::exception_ptr fault_;
  const Thread* racer_ = nullptr;
  const void* raced_address_ = nullptr;
  Arena shared_;
};

/// "(1, 0, 0)".
std::string text(uint3 index);

}  // namespace zoo::gpu::host
