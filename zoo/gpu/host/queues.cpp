#include "zoo/gpu/host/queues.h"

#include <algorithm>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/gpu/emulation.h"
#include "zoo/gpu/host/heap.h"
#include "zoo/gpu/host/sanitizers.h"
#include "zoo/gpu/host/schedule.h"

namespace zoo::gpu {

namespace host {

namespace {

// Never destroyed, as the heap.
std::vector<Stream::State*>& streams() {
  static auto* all = new std::vector<Stream::State*>;
  return *all;
}

std::exception_ptr& kept_fault() {
  static auto* fault = new std::exception_ptr;
  return *fault;
}

bool can_begin(const Stream::State* stream) {
  if (stream->operations.empty()) return false;
  const Operation& next = stream->operations.front();
  return next.after == nullptr || next.after->done;
}

void run_next(Stream::State& stream) {
  Operation operation = std::move(stream.operations.front());
  stream.operations.pop_front();
  [[maybe_unused]] void* caller = nullptr;
  if constexpr (race_check) {
    caller = current_trace();
    switch_trace(stream.trace);
  }
  acquire(&stream.given);
  if (operation.after != nullptr) acquire(&operation.after->tag);
  std::exception_ptr fault;
  try {
    if (operation.run) operation.run();
  } catch (...) {
    fault = std::current_exception();
  }
  if (operation.marks != nullptr) {
    release(&operation.marks->tag);
    operation.marks->done = true;
  }
  operation.run = nullptr;  // by the stream, which has seen the kernel's threads end
  release(&stream.done);
  if constexpr (race_check) switch_trace(caller);
  if (fault == nullptr) return;
  // A fault ends the work of all streams: who gets it may free what any of them has used.
  for (Stream::State* other : streams()) {
    acquire(&other->done);
    for (const Operation& dropped : other->operations) {
      if (dropped.marks != nullptr) dropped.marks->done = true;
    }
    other->operations.clear();
  }
  std::rethrow_exception(fault);
}

// Does work of streams chosen at random until `done`.
void work_until(const std::function<bool()>& done) {
  const Heap::Access access(heap());
  std::vector<Stream::State*> able;
  while (!done()) {
    able.clear();
    std::ranges::copy_if(streams(), std::back_inserter(able), can_begin);
    if (able.empty()) return;
    run_next(*able[Random(schedule_seed(), next_choice_number()).below(able.size())]);
  }
}

void throw_kept_fault() {
  if (const std::exception_ptr fault = std::exchange(kept_fault(), nullptr)) std::rethrow_exception(fault);
}

}  // namespace

std::recursive_mutex& device_mutex() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

void enqueue(Stream& stream, Operation operation) {
  const std::lock_guard lock(device_mutex());
  release(&stream.state().given);
  Stream::State& state = stream.state();
  if (state.recording == nullptr) {
    state.operations.push_back(std::move(operation));
  } else if (operation.kind == OperationKind::event) {
    throw Error("an event was given to a stream that records a graph; end the recording before");
  } else {
    state.recording->push_back(std::move(operation));
  }
}

void refuse_while_recording(const char* what) {
  const std::lock_guard lock(device_mutex());
  if (std::ranges::all_of(streams(), [](const auto* stream) { return stream->recording == nullptr; })) return;
  throw Error("{} while a stream records a graph, which CUDA forbids; end the recording before", what);
}

void finish_all() {
  work_until(
      [] { return std::ranges::all_of(streams(), [](const auto* stream) { return stream->operations.empty(); }); });
  for (Stream::State* stream : streams()) acquire(&stream->done);
}

void keep_fault(std::exception_ptr fault) noexcept {
  if (kept_fault() == nullptr) kept_fault() = std::move(fault);
}

}  // namespace host

using host::device_mutex;

Stream::Stream() : state_(std::make_unique<State>()) {
  const std::lock_guard lock(device_mutex());
  state_->trace = host::create_trace();
  host::streams().push_back(state_.get());
}

Stream::~Stream() {
  if (state_ == nullptr) return;
  const std::lock_guard lock(device_mutex());
  state_->recording = nullptr;
  try {
    synchronize();
  } catch (...) {
    host::keep_fault(std::current_exception());
  }
  std::erase(host::streams(), state_.get());
  if (host::race_check) host::destroy_trace(state_->trace);
}

Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Stream::wait(const Event& event) {
  if (event.state().mark != nullptr) host::enqueue(*this, {.after = event.state().mark});
}

void Stream::synchronize() {
  const std::lock_guard lock(device_mutex());
  if (state_->recording != nullptr) {
    throw Error(
        "a stream that records a graph was waited for: its work is not done yet; end the recording and launch "
        "the graph before");
  }
  host::throw_kept_fault();
  host::work_until([this] { return state_->operations.empty(); });
  host::acquire(&state_->done);
}

Event::Event() : state_(std::make_unique<State>()) {}
Event::~Event() = default;
Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;

void Event::record(Stream& stream) {
  state_->mark = std::make_shared<host::Mark>();
  host::enqueue(stream, {.marks = state_->mark});
}

void Event::synchronize() {
  const std::lock_guard lock(device_mutex());
  host::throw_kept_fault();
  if (state_->mark == nullptr) return;
  host::work_until([this] { return state_->mark->done; });
  host::acquire(&state_->mark->tag);
}

}  // namespace zoo::gpu
