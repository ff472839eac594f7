#include "zoo/gpu/stream.h"

#include <utility>

#include "zoo/gpu/cuda/state.h"
#include "zoo/gpu/device.h"

namespace zoo::gpu {

Stream::Stream() : state_(std::make_unique<State>()) {
  static_cast<void>(device());  // says what is missing
  cuda::check(cudaStreamCreateWithFlags(&state_->stream, cudaStreamNonBlocking), "creating a stream");
}

Stream::~Stream() {
  if (state_ == nullptr) return;
  // A fault is sticky: CUDA gives it to the next call, which throws it.
  cudaStreamSynchronize(state_->stream);
  cudaStreamDestroy(state_->stream);
}

Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Stream::wait(const Event& event) {
  cuda::check(cudaStreamWaitEvent(state_->stream, event.state().event, 0), "waiting for an event");
}

void Stream::synchronize() {
  cuda::check(cudaStreamSynchronize(state_->stream), "waiting for a stream");
}

Event::Event() : state_(std::make_unique<State>()) {
  cuda::check(cudaEventCreateWithFlags(&state_->event, cudaEventDisableTiming), "creating an event");
}

Event::~Event() {
  if (state_ != nullptr) cudaEventDestroy(state_->event);
}

Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

void Event::record(Stream& stream) {
  cuda::check(cudaEventRecord(state_->event, stream.state().stream), "recording an event");
}

void Event::synchronize() {
  cuda::check(cudaEventSynchronize(state_->event), "waiting for an event");
}

}  // namespace zoo::gpu
