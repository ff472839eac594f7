#pragma once

#include <cstdint>

#include "zoo/cpu/diagonal_scan.h"

namespace zoo::cpu {

/// Steps between two states that the forward pass leaves for the backward pass.
inline constexpr std::int64_t wkv_chunk = 16;

template <typename T>
struct WkvState {
  T* p;  ///< each [B,C]
  T* q;
  T* o;
};

template <typename T>
struct WkvInputs {
  const T* k;  ///< [B,T,C]
  const T* v;
  const T* w;  ///< [C]
  const T* u;
  WkvState<const T> state;
};

template <typename T>
struct WkvOutputs {
  T* y;  ///< [B,T,C]
  WkvState<T> state;
  T* checkpoints;  ///< [B, chunks, 3, C]: p, q, o before each chunk; nullptr where no backward pass follows
};

/// w and u are [B,C], for the caller to sum over sequences.
template <typename T>
struct WkvGradients {
  T* k;
  T* v;
  T* w;
  T* u;
  WkvState<T> state;
};

/// RWKV-4's weighted mean (zoo/ops/diagonal_scan.h), with channels along vectors.
void wkv_forward(const ScanSizes& sizes, const WkvInputs<float>& inputs, const WkvOutputs<float>& outputs);
void wkv_forward(const ScanSizes& sizes, const WkvInputs<double>& inputs, const WkvOutputs<double>& outputs);

/// The gradients of the inputs for those of y and of the last state (nullptr: zero). States within a chunk are computed
/// again from its checkpoint.
void wkv_backward(const ScanSizes& sizes, const WkvInputs<float>& inputs, const float* checkpoints, const float* dy,
                  const WkvState<const float>& dstate, const WkvGradients<float>& into);
void wkv_backward(const ScanSizes& sizes, const WkvInputs<double>& inputs, const double* checkpoints, const double* dy,
                  const WkvState<const double>& dstate, const WkvGradients<double>& into);

}  // namespace zoo::cpu
