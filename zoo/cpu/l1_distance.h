#pragma once

#include <cstdint>

namespace zoo::cpu {

/// Extents of a matrix of distances: q [B,Tq,H,d], k [B,Tk,H,d], distances [B,H,Tq,Tk].
struct DistanceSizes {
  std::int64_t batch = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t heads = 1;
  std::int64_t d = 0;
};

/// sum_i |q_i - k_i|.
void l1_distance_forward(const DistanceSizes& sizes, const float* q, const float* k, float* distances);
void l1_distance_forward(const DistanceSizes& sizes, const double* q, const double* k, double* distances);
void l1_distance_backward(const DistanceSizes& sizes, const float* q, const float* k, const float* ddistances,
                          float* dq, float* dk);
void l1_distance_backward(const DistanceSizes& sizes, const double* q, const double* k, const double* ddistances,
                          double* dq, double* dk);

}  // namespace zoo::cpu
