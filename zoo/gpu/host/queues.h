#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "zoo/gpu/stream.h"

namespace zoo::gpu::host {

/// A recorded event: done once its stream has come to it.
struct Mark {
  bool done = false;
  char tag = 0;  ///< for ThreadSanitizer: what came before it in its stream
};

/// What CUDA makes a node of a graph, each kind of its own.
enum class OperationKind : std::uint8_t { kernel, copy, fill, event };

struct Operation {
  OperationKind kind = OperationKind::event;
  std::function<void()> run = {};
  std::shared_ptr<Mark> after = {};  ///< an event to wait for, or none
  std::shared_ptr<Mark> marks = {};  ///< an event that is recorded here, or none
};

/// Guards all of the emulated device: its memory and its streams.
std::recursive_mutex& device_mutex();

/// Gives a stream work. It is done when somebody waits for it, among the work of other streams in a random order; a
/// stream that records only keeps it.
void enqueue(Stream& stream, Operation operation);
/// Throws Error, saying what cannot be done, when a stream records a graph.
void refuse_while_recording(const char* what);
/// Does all work of all streams. Throws the first fault; what has not been done then is dropped.
void finish_all();
/// Keeps a fault for the next synchronize().
void keep_fault(std::exception_ptr fault) noexcept;

}  // namespace zoo::gpu::host

struct zoo::gpu::Stream::State {
  std::deque<host::Operation> operations = {};
  std::unique_ptr<std::vector<host::Operation>> recording = {};  ///< for a graph, or nullptr
  char given = 0;         ///< for ThreadSanitizer: what the host did before it gave the work
  char done = 0;          ///< for ThreadSanitizer: what this stream has done
  void* trace = nullptr;  ///< for ThreadSanitizer: the stream's line of execution
};

struct zoo::gpu::Event::State {
  std::shared_ptr<host::Mark> mark = {};  ///< of the last record(), or none
};
