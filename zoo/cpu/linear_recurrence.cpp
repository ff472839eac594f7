#include "zoo/cpu/linear_recurrence.h"

#include <algorithm>

#include "zoo/core/parallel.h"

namespace zoo::cpu {

namespace {

// Calls body(begin, end) on parts of the sets of heads, as far as there is work for several threads.
template <typename Body>
void for_items(const RecurrenceSizes& sizes, const Body& body) {
  const std::int64_t work = sizes.length * sizes.heads_a_part() * sizes.dk * sizes.dv;
  parallel_for(sizes.batch * sizes.groups * sizes.parts, 1 + 200000 / std::max<std::int64_t>(work, 1), body);
}

template <typename T>
void forward(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs, const RecurrenceOutputs<T>& outputs) {
  const auto kernel =
      inputs.decay == RecurrenceDecay::channel_and_step ? channel_recurrence_forward<T> : head_recurrence_forward<T>;
  for_items(sizes, [&](std::int64_t begin, std::int64_t end) { kernel(sizes, inputs, outputs, begin, end); });
}

template <typename T>
void backward(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
              const RecurrenceOutputs<const T>& output_gradients, const RecurrenceGradients<T>& gradients) {
  const auto kernel =
      inputs.decay == RecurrenceDecay::channel_and_step ? channel_recurrence_backward<T> : head_recurrence_backward<T>;
  for_items(sizes, [&](std::int64_t begin, std::int64_t end) {
    kernel(sizes, inputs, output_gradients, gradients, begin, end);
  });
}

}  // namespace

std::int64_t recurrence_checkpoints(std::int64_t length, RecurrenceDecay decay) {
  const std::int64_t segment = decay == RecurrenceDecay::channel_and_step ? channel_segment : head_segment;
  return std::max<std::int64_t>(length - 1, 0) / segment;
}

void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                               const RecurrenceOutputs<float>& outputs) {
  forward(sizes, inputs, outputs);
}

void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                               const RecurrenceOutputs<double>& outputs) {
  forward(sizes, inputs, outputs);
}

void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                                const RecurrenceOutputs<const float>& output_gradients,
                                const RecurrenceGradients<float>& gradients) {
  backward(sizes, inputs, output_gradients, gradients);
}

void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                const RecurrenceOutputs<const double>& output_gradients,
                                const RecurrenceGradients<double>& gradients) {
  backward(sizes, inputs, output_gradients, gradients);
}

}  // namespace zoo::cpu
