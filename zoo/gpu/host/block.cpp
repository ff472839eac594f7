#include "zoo/gpu/host/block.h"

#include <fmt/format.h>

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/gpu/emulation.h"
#include "zoo/gpu/host/sanitizers.h"
#include "zoo/gpu/host/words.h"

constinit thread_local uint3 threadIdx = {};
constinit thread_local uint3 blockIdx = {};
constinit thread_local dim3 blockDim = {};
constinit thread_local dim3 gridDim = {};

namespace zoo::gpu::host {

namespace {

constinit thread_local Block* running_block = nullptr;

// Atomics let other threads run one time in so many; a lock whose holder cannot run is given up after so many.
constexpr std::uint64_t atomics_per_yield = 8;
constexpr std::uint64_t fruitless_limit = 10'000'000;

}  // namespace

Block* Block::running() {
  return running_block;
}

Block& Block::running(const char* operation) {
  if (running_block == nullptr)
    throw Error("{} was called outside a kernel; only kernels that launch() runs may call it", operation);
  return *running_block;
}

void Block::run(Launch& launch, std::uint64_t index) {
  prepare(launch, index);
  running_block = this;
  start_threads();
  schedule();
  find_faults_of_the_end();
  // A thread that still waits is told to end, so that the objects on its stack are destroyed; one that has not begun
  // does not begin.
  cancelled_ = true;
  for (unsigned i = 0; i < count_; ++i) {
    current_ = threads_[i].get();
    if (current_->state != State::exited) current_->fiber.resume();
  }
  current_ = nullptr;
  running_block = nullptr;
  if (fault_ != nullptr) std::rethrow_exception(fault_);
}

void Block::find_faults_of_the_end() {
  if (fault_ != nullptr) return;
  if (std::any_of(threads_.begin(), threads_.begin() + count_,
                  [](const auto& thread) { return thread->state != State::exited; })) {
    fault_ = std::make_exception_ptr(deadlock());
  } else if (racer_ != nullptr) {
    fault_ = std::make_exception_ptr(race());
  } else if (const std::ptrdiff_t at = shared_.damage(); at != 0) {
    fault_ = std::make_exception_ptr(fault_of(
        nullptr, fmt::format("out-of-bounds write: byte {} of its {} bytes of shared memory was written; launch it "
                             "with more shared memory, or correct the index",
                             at, shared_.bytes())));
  }
}

void Block::prepare(Launch& launch, std::uint64_t index) {
  launch_ = &launch;
  index_ = {static_cast<unsigned>(index % launch.grid.x), static_cast<unsigned>(index / launch.grid.x % launch.grid.y),
            static_cast<unsigned>(index / launch.grid.x / launch.grid.y)};
  blockIdx = index_;
  blockDim = launch.block;
  gridDim = launch.grid;
  random_ = Random(schedule_seed() + launch.number, index);
  count_ = static_cast<unsigned>(launch.threads());
  while (threads_.size() < count_) threads_.push_back(std::make_unique<Thread>(threads_.size()));
  warps_.resize((count_ + 31) / 32);
  // Here, and not by the kernel's threads, so that ThreadSanitizer does not take the memory for theirs.
  for (Warp& warp : warps_) {
    warp.meetings.clear();
    warp.meetings.reserve(32);
  }
  ready_.reserve(count_);
  at_barrier_ = 0;
  predicates_ = 0;
  fruitless_ = 0;
  cancelled_ = false;
  fault_ = nullptr;
  racer_ = nullptr;
  shared_.reset(launch.shared_bytes);
}

void Block::start_threads() {
  ready_.clear();
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = *threads_[i];
    const dim3 block = launch_->block;
    thread.block = this;
    thread.number = i;
    thread.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    thread.state = State::ready;
    thread.fiber.start(
        [](void* argument) {
          auto& self = *static_cast<Thread*>(argument);
          self.block->enter(self);
        },
        &thread);
    ready_.push_back(&thread);
  }
}

void Block::schedule() {
  while (!ready_.empty() && fault_ == nullptr) {
    const auto chosen = static_cast<std::size_t>(random_.below(ready_.size()));
    current_ = ready_[chosen];
    ready_[chosen] = ready_.back();
    ready_.pop_back();
    threadIdx = current_->index;
    current_->fiber.resume();
  }
}

void Block::enter(Thread& thread) {
  try {
    if (cancelled_) throw Cancelled();
    launch_->kernel();
    if (std::any_of(thread.copies.begin(), thread.copies.end(), [](const auto& group) { return !group.empty(); }))
      throw fault(
          "asynchronous copy not waited for: the thread ends while a copy to shared memory is under way; call "
          "copy_async_wait<0>() before the end");
  } catch (const Cancelled&) {
  } catch (...) {
    if (fault_ == nullptr) fault_ = std::current_exception();
  }
  thread.copies.clear();
  thread.copies.shrink_to_fit();  // the memory is this thread's, to ThreadSanitizer
  thread.state = State::exited;
  fruitless_ = 0;
  release(&launch_->ended);
}

void Block::wait(State state, const char* operation, Site site) {
  Thread& self = *current_;
  self.state = state;
  self.operation = operation;
  self.site = site;
  self.fiber.suspend();
  if (cancelled_) throw Cancelled();
}

void Block::wake(Thread& thread) {
  thread.state = State::ready;
  ready_.push_back(&thread);
}

int Block::barrier(const char* name, bool predicate, Site site) {
  Thread& self = *current_;
  if (at_barrier_ == 0) {
    first_at_barrier_ = &self;
  } else if (const Thread& other = *first_at_barrier_;
             other.site != site || std::string_view(other.operation) != name) {
    throw fault(
        fmt::format("divergent barrier: this thread comes to {} at {}, while thread {} waits at {} at {}; all "
                    "threads of a block must come to the same barrier, so take it out of the branch",
                    name, text(site), text(other.index), other.operation, text(other.site)));
  }
  release(&barrier_tag_);
  predicates_ += predicate ? 1 : 0;
  self.operation = name;
  self.site = site;
  if (++at_barrier_ == count_) {
    finish_barrier();
    self.fiber.suspend();
    if (cancelled_) throw Cancelled();
  } else {
    wait(State::at_barrier, name, site);
  }
  return self.barrier_result;
}

void Block::finish_barrier() {
  for (unsigned i = 0; i < count_; ++i) {
    threads_[i]->barrier_result = predicates_;
    acquire_for(threads_[i]->fiber.trace(), &barrier_tag_);
    wake(*threads_[i]);
  }
  at_barrier_ = 0;
  predicates_ = 0;
  fruitless_ = 0;
}

void Block::yield(bool blocked) {
  if (!blocked && random_.below(atomics_per_yield) != 0) return;
  if (++fruitless_ > fruitless_limit)
    throw fault(
        "deadlock: the threads of this block go on with atomic operations, but none ends or comes to a barrier; "
        "does a lock wait for a block that has not begun, or for a thread that waits itself?");
  Thread& self = *current_;
  ready_.push_back(&self);
  self.fiber.suspend();
  if (cancelled_) throw Cancelled();
}

unsigned Block::lane() const {
  return current_->number % 32;
}

void* Block::shared_memory(std::size_t bytes, std::size_t alignment) {
  if (bytes > shared_.bytes())
    throw fault(
        fmt::format("shared memory: the kernel uses at least {} bytes but was launched with {}; launch it with "
                    "what it uses",
                    bytes, shared_.bytes()));
  if (alignment > 128)
    throw fault(
        fmt::format("shared memory: its type asks for an alignment of {} bytes; at most 128 are given", alignment));
  return shared_.begin();
}

std::uint64_t Block::launch_seed() const {
  return schedule_seed() + launch_->number;
}

void Block::note_race(const void* address) {
  if (racer_ != nullptr) return;
  racer_ = current_;
  raced_address_ = address;
}

KernelFault Block::fault(std::string_view what) const {
  return fault_of(current_, what);
}

bool Block::overflowed(const void* address) const {
  return current_ != nullptr && current_->fiber.stack().guards(address);
}

}  // namespace zoo::gpu::host
