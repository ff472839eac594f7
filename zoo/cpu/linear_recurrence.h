#pragma once

#include <cstdint>

namespace zoo::cpu {

/// Extents of a linear recurrence: q, k [B,T,H,dk], v [B,T,H,dv], states [B,H,dk,dv].
struct RecurrenceSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 1;
  std::int64_t dk = 0;
  std::int64_t dv = 0;
};

template <typename T>
struct RecurrenceInputs {
  const T* q;
  const T* k;
  const T* v;
  const T* initial;
  const T* decay;  ///< [H], or nullptr for none
};

template <typename T>
struct RecurrenceOutputs {
  T* y;
  T* state;
};

/// As the inputs; decay is [B,H], for the caller to sum over sequences, or nullptr where nobody wants it.
template <typename T>
struct RecurrenceGradients {
  T* q;
  T* k;
  T* v;
  T* initial;
  T* decay;
};

/// S_t = decay S_{t-1} + k_t v_t^T, y_t = S_t^T q_t, a chunk of steps at a time (Hua et al. 2022; Sun et al. 2023,
/// "Retentive network", section 2.3): within the chunk as masked attention, across chunks through the state.
void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                               const RecurrenceOutputs<float>& outputs);
void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                               const RecurrenceOutputs<double>& outputs);
/// The gradients of the inputs for those of y and of the last state (nullptr: zero). States are computed again: one is
/// kept at a time.
void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                                const RecurrenceOutputs<const float>& output_gradients,
                                const RecurrenceGradients<float>& gradients);
void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                const RecurrenceOutputs<const double>& output_gradients,
                                const RecurrenceGradients<double>& gradients);

}  // namespace zoo::cpu
