#pragma once

#include <cstdint>
#include <vector>

#include "zoo/cpu/linear_recurrence.h"
#include "zoo/gpu/launch_shape.h"
#include "zoo/gpu/precision.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// The recurrence of zoo/cpu/linear_recurrence.h, which says what the fields mean, in chunks of 64 steps side by side;
/// all pointers are to device memory. outputs.checkpoints are linear_recurrence_checkpoints() floats: the state before
/// each chunk, and what its decay leaves of it. The last state may take the initial one's place. Throws Error for sizes
/// that contradict each other.
void linear_recurrence_forward(const cpu::RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs,
                               const cpu::RecurrenceOutputs<float>& outputs, Precision precision, Stream& stream);
std::int64_t linear_recurrence_checkpoints(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay);

/// The gradients for those of y and of the last state (nullptr: zero), as cpu::linear_recurrence_backward, given the
/// forward pass's checkpoints. `scratch` is as large as they are. Throws as linear_recurrence_forward does.
void linear_recurrence_backward(const cpu::RecurrenceSizes& sizes, const cpu::RecurrenceInputs<float>& inputs,
                                const cpu::RecurrenceOutputs<const float>& output_gradients,
                                const cpu::RecurrenceGradients<float>& gradients, float* scratch, Precision precision,
                                Stream& stream);

/// The kernels that linear_recurrence_forward launches, and those that linear_recurrence_backward does.
std::vector<LaunchShape> linear_recurrence_forward_kernels(const cpu::RecurrenceSizes& sizes,
                                                           cpu::RecurrenceDecay decay);
std::vector<LaunchShape> linear_recurrence_backward_kernels(const cpu::RecurrenceSizes& sizes,
                                                            cpu::RecurrenceDecay decay);

/// Gradients that are not always wanted.
struct RecurrenceWanted {
  bool decay = false;
  bool step = false;
  bool bonus = false;
};
/// Bytes that they move through shared memory (shared_traffic.h), in float32.
double linear_recurrence_forward_traffic(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay);
double linear_recurrence_backward_traffic(const cpu::RecurrenceSizes& sizes, cpu::RecurrenceDecay decay,
                                          const RecurrenceWanted& wanted);

}  // namespace zoo::gpu
