#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <cstdint>

namespace zoo::gpu::host {

/// Memory for a stack, with a page below it that nobody may touch.
class Stack {
 public:
  /// Stacks of different numbers begin at different distances from a page's end, so that their tops do not all compete
  /// for the same lines of the cache. Throws std::bad_alloc.
  explicit Stack(std::size_t number);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void* top() const { return top_; }
  const void* bottom() const;
  std::size_t bytes() const;
  /// Whether an address lies in the page below this stack.
  bool guards(const void* address) const;
  /// Has ThreadSanitizer forget who used this stack.
  void forget_accesses();

 private:
  char* memory_ = nullptr;
  char* top_ = nullptr;
  std::uint64_t* deepest_ = nullptr;  ///< the lowest word that may have been written
};

/// A function on a stack of its own, which it can leave and come back to. It runs on the thread that made it, and is
/// used again for one function after another.
class Fiber {
 public:
  using Body = void (*)(void* argument);

  explicit Fiber(std::size_t number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Makes the next resume() call body(argument), which must not throw. The function before must have finished.
  void start(Body body, void* argument);
  /// Called outside the fiber: runs it until it suspends or its function ends.
  void resume();
  /// Called inside: goes back to the caller of resume().
  void suspend();

  const Stack& stack() const { return stack_; }
  /// What ThreadSanitizer holds for the function that was started last.
  void* trace() const { return trace_; }

 private:
  boost::context::fiber enter(boost::context::fiber&& caller);
  void leave(bool for_good);

  Stack stack_;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool stopping_ = false;
  boost::context::fiber inside_;
  boost::context::fiber outside_;
  void* fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_bytes_ = 0;
  void* trace_ = nullptr;
  void* outside_trace_ = nullptr;
};

}  // namespace zoo::gpu::host
