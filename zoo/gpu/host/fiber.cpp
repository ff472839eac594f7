#include "zoo/gpu/host/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/context/preallocated.hpp>
#include <new>
#include <utility>

#include "zoo/gpu/host/sanitizers.h"

namespace zoo::gpu::host {

namespace {

// Room for a kernel's locals, and for the message of a fault; AddressSanitizer makes frames several times as large.
constexpr std::size_t stack_bytes = address_sanitizer ? 256 * 1024 : 64 * 1024;
constexpr std::size_t colours = 32;
constexpr std::size_t colour_bytes = 128;

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// Boost asks for an allocator; the stack belongs to the Fiber.
struct KeepStack {
  boost::context::stack_context allocate() { return {}; }
  void deallocate(boost::context::stack_context&) {}
};

}  // namespace

Stack::Stack(std::size_t number) {
  void* memory = mmap(nullptr, page_bytes() + stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  mprotect(memory_, page_bytes(), PROT_NONE);
  top_ = memory_ + page_bytes() + stack_bytes - number % colours * colour_bytes;
  deepest_ = reinterpret_cast<std::uint64_t*>(top_);
}

Stack::~Stack() {
  allow_access(bottom(), stack_bytes);
  munmap(memory_, page_bytes() + stack_bytes);
}

const void* Stack::bottom() const {
  return memory_ + page_bytes();
}

std::size_t Stack::bytes() const {
  return static_cast<std::size_t>(top_ - memory_) - page_bytes();
}

bool Stack::guards(const void* address) const {
  return address >= memory_ && address < memory_ + page_bytes();
}

void Stack::forget_accesses() {
  // Below what was ever used, all is 0 as it was mapped; and the lowest word of what was used is not: each read and
  // write calls ThreadSanitizer, which leaves an address to return to.
  auto* word = reinterpret_cast<std::uint64_t*>(memory_ + page_bytes());
  deepest_ = std::find_if(word, deepest_, [](std::uint64_t used) { return used != 0; });
  host::forget_accesses(deepest_, static_cast<std::size_t>(top_ - reinterpret_cast<char*>(deepest_)));
}

Fiber::Fiber(std::size_t number) : stack_(number) {
  boost::context::stack_context context;
  context.sp = stack_.top();
  context.size = stack_.bytes();
  inside_ =
      boost::context::fiber(std::allocator_arg, boost::context::preallocated(stack_.top(), stack_.bytes(), context),
                            KeepStack{}, [this](boost::context::fiber&& caller) { return enter(std::move(caller)); });
}

Fiber::~Fiber() {
  stopping_ = true;
  resume();
  if (trace_ != nullptr) destroy_trace(trace_);
}

void Fiber::start(Body body, void* argument) {
  body_ = body;
  argument_ = argument;
  if constexpr (race_check) stack_.forget_accesses();
  if (trace_ != nullptr) destroy_trace(trace_);
  trace_ = create_trace();
}

void Fiber::resume() {
  void* fake_stack = nullptr;
  outside_trace_ = current_trace();
  if (trace_ != nullptr) switch_trace(trace_);
  start_stack_switch(&fake_stack, stack_.bottom(), stack_.bytes());
  inside_ = std::move(inside_).resume();
  finish_stack_switch(fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
  leave(false);
  outside_ = std::move(outside_).resume();
  finish_stack_switch(fake_stack_, &outside_stack_, &outside_bytes_);
}

void Fiber::leave(bool for_good) {
  if (trace_ != nullptr) switch_trace(outside_trace_);
  start_stack_switch(for_good ? nullptr : &fake_stack_, outside_stack_, outside_bytes_);
}

boost::context::fiber Fiber::enter(boost::context::fiber&& caller) {
  finish_stack_switch(nullptr, &outside_stack_, &outside_bytes_);
  outside_ = std::move(caller);
  while (!stopping_) {
    body_(argument_);
    suspend();
  }
  leave(true);
  return std::move(outside_);
}

}  // namespace zoo::gpu::host
