#pragma once

#include <cstdint>

namespace zoo::cpu {

/// Extents of a selective scan: x, delta, y [B,T,E], A [E,N], B, C [B,T,N], states [B,E,N].
struct SelectiveScanSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;  ///< E
  std::int64_t state = 0;     ///< N

  /// Steps between two states that the forward pass leaves for the backward pass.
  static constexpr std::int64_t chunk = 16;
  std::int64_t chunks() const { return (length + chunk - 1) / chunk; }
  /// Channels that are worked on together. Each block leaves a part of the gradients of B and C.
  static constexpr std::int64_t block = 128;
  std::int64_t blocks() const { return (channels + block - 1) / block; }
};

template <typename T>
struct SelectiveScanInputs {
  const T* x;
  const T* delta;
  const T* A;
  const T* B;
  const T* C;
  const T* D;
  const T* initial;
};

template <typename T>
struct SelectiveScanOutputs {
  T* y;
  T* state;
  T* checkpoints;  ///< [B, chunks, N, E]: states before each chunk; nullptr where no backward pass follows
};

/// Some are parts, for the caller to sum: A [B,E,N] and D [B,E] over sequences, B and C [blocks,B,T,N] over blocks.
template <typename T>
struct SelectiveScanGradients {
  T* x;
  T* delta;
  T* A;
  T* B;
  T* C;
  T* D;
  T* initial;
};

/// The scan of Mamba (zoo/ops/diagonal_scan.h), with channels along vectors: a state is held for a block of channels
/// and one step.
void selective_scan_forward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<float>& inputs,
                            const SelectiveScanOutputs<float>& outputs);
void selective_scan_forward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<double>& inputs,
                            const SelectiveScanOutputs<double>& outputs);

/// The gradients of the inputs for those of y and of the last state (nullptr: zero). States within a chunk are computed
/// again from its checkpoint, for one n of N at a time.
void selective_scan_backward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<float>& inputs,
                             const float* checkpoints, const float* dy, const float* dstate,
                             const SelectiveScanGradients<float>& into);
void selective_scan_backward(const SelectiveScanSizes& sizes, const SelectiveScanInputs<double>& inputs,
                             const double* checkpoints, const double* dy, const double* dstate,
                             const SelectiveScanGradients<double>& into);

}  // namespace zoo::cpu
