#pragma once

#include <cstdint>

namespace zoo::cpu {

/// Extents of a linear recurrence: q, k [B,T,G,dk], v [B,T,H,dv], states [B,H,dk,dv]. Head h reads group floor(h*G/H).
struct RecurrenceSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t heads = 1;
  std::int64_t groups = 1;  ///< divides heads
  std::int64_t parts = 1;   ///< into which the heads of a group are divided, for more threads; divides heads / groups
  std::int64_t dk = 0;
  std::int64_t dv = 0;

  std::int64_t heads_a_part() const { return heads / (groups * parts); }
};

/// What the decay depends on.
enum class RecurrenceDecay { none, head, head_and_step, channel_and_step };

template <typename T>
struct RecurrenceInputs {
  const T* q;
  const T* k;
  const T* v;
  const T* initial;
  const T* log_decay;  ///< [H], [B,T,H] or [B,T,H,dk], as `decay` says
  const T* bonus;      ///< [H,dk] or nullptr; with channel_and_step only
  const T* step;       ///< [B,T,H] or nullptr; with head_and_step only
  const T* skip;       ///< [H], with `step`
  RecurrenceDecay decay;
};

template <typename T>
struct RecurrenceOutputs {
  T* y;
  T* state;
  T* checkpoints;  ///< [recurrence_checkpoints(length, decay),B,H,dk,dv], states on the way, for the backward pass
};

/// As the inputs, but q and k are [B,T,G*parts,dk], log_decay is [B,T,H] whenever it belongs to a head, and bonus is
/// [B,H,dk], skip [B,H]: the caller sums. log_decay and bonus are nullptr where nobody wants them; step and skip come
/// together, and with log_decay.
template <typename T>
struct RecurrenceGradients {
  T* q;
  T* k;
  T* v;
  T* initial;
  T* log_decay;
  T* bonus;
  T* step;
  T* skip;
};

/// The number of states that the forward pass leaves for the backward one: one in some hundred steps.
std::int64_t recurrence_checkpoints(std::int64_t length, RecurrenceDecay decay);

/// S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T, y_t = S_t^T q_t, or with a bonus u
/// y_t = (S_{t-1} + diag(u) k_t v_t^T)^T q_t, or with steps dt S_t = exp(log_decay_t) S_{t-1} + dt_t k_t v_t^T,
/// y_t = S_t^T q_t + skip v_t; a chunk of steps at a time: within the chunk as masked attention, across
/// chunks through the state (Hua et al. 2022; Sun et al. 2023, "Retentive network", section 2.3; Dao and Gu 2024,
/// section 6; Yang et al. 2023, "Gated linear attention", section 4.3).
void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                               const RecurrenceOutputs<float>& outputs);
void linear_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                               const RecurrenceOutputs<double>& outputs);
/// The gradients of the inputs for those of y and of the last state (nullptr: zero); `checkpoints` are those of the
/// forward pass. The other states are computed again, those of some hundred steps at a time.
void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<float>& inputs,
                                const RecurrenceOutputs<const float>& output_gradients,
                                const RecurrenceGradients<float>& gradients);
void linear_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<double>& inputs,
                                const RecurrenceOutputs<const double>& output_gradients,
                                const RecurrenceGradients<double>& gradients);

/// The same for items [begin, end) of the B * G * parts sets of heads: for a decay of each key channel, and for all
/// others. T is float or double.
template <typename T>
void channel_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                const RecurrenceOutputs<T>& outputs, std::int64_t begin, std::int64_t end);
template <typename T>
void channel_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                                 const RecurrenceOutputs<const T>& output_gradients,
                                 const RecurrenceGradients<T>& gradients, std::int64_t begin, std::int64_t end);
template <typename T>
void head_recurrence_forward(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                             const RecurrenceOutputs<T>& outputs, std::int64_t begin, std::int64_t end);
template <typename T>
void head_recurrence_backward(const RecurrenceSizes& sizes, const RecurrenceInputs<T>& inputs,
                              const RecurrenceOutputs<const T>& output_gradients,
                              const RecurrenceGradients<T>& gradients, std::int64_t begin, std::int64_t end);

/// Steps of a chunk, and from one checkpoint to the next.
inline constexpr std::int64_t head_chunk = 32;
inline constexpr std::int64_t head_segment = 512;
inline constexpr std::int64_t channel_chunk = 16;
inline constexpr std::int64_t channel_segment = 256;

}  // namespace zoo::cpu
