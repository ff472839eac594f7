#pragma once

#include <memory>

namespace zoo::gpu {

class Stream;

/// A point in a stream that others can wait for. An event that was never recorded is complete.
class Event {
 public:
  struct State;

  Event();
  ~Event();
  Event(Event&&) noexcept;
  Event& operator=(Event&&) noexcept;

  /// The event is now what the stream has been given so far.
  void record(Stream& stream);
  /// Waits until the recorded work is done. Throws what the device found wrong in it.
  void synchronize();
  State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// Work for the device, done in the order in which it was given; work of two streams is in no order unless an event
/// makes one. The host does not wait: what goes wrong is thrown by a later synchronize().
class Stream {
 public:
  struct State;

  /// Throws Error when there is no device.
  Stream();
  /// Waits for its work; a fault found then is thrown by the next synchronize() of any stream.
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  /// Work given from here on begins when the event is complete.
  void wait(const Event& event);
  /// Waits until all work of this stream is done.
  void synchronize();
  State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace zoo::gpu
