#pragma once

#include <cstdint>

namespace zoo::cpu {

/// Extents of a scan: sequences [B,T,C], states [B,C].
struct ScanSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
};

/// h_t = a_t * h_{t-1} + b_t.
void diagonal_scan_forward(const ScanSizes& sizes, const float* a, const float* b, const float* initial, float* h);
void diagonal_scan_forward(const ScanSizes& sizes, const double* a, const double* b, const double* initial, double* h);

template <typename T>
struct DiagonalScanGradients {
  T* a;
  T* b;
  T* initial;
};
/// The gradients of a, b and initial for that of h. Any length from 1 on.
void diagonal_scan_backward(const ScanSizes& sizes, const float* a, const float* h, const float* initial,
                            const float* dh, const DiagonalScanGradients<float>& into);
void diagonal_scan_backward(const ScanSizes& sizes, const double* a, const double* h, const double* initial,
                            const double* dh, const DiagonalScanGradients<double>& into);

}  // namespace zoo::cpu
