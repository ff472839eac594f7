#include "zoo/cpu/l1_distance.h"

#include <algorithm>

#include "zoo/core/pool.h"
#include "zoo/cpu/partition.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/l1_distance.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Keys whose channels are transposed together, and queries that share a key's load.
constexpr std::int64_t key_tile = 64;
constexpr std::int64_t together = 4;

template <typename T, typename Element>
Rowwise<Element> rows_of(const DistanceSizes& sizes, std::int64_t length, std::int64_t item, Element* tensor) {
  const std::int64_t b = item / sizes.heads, h = item % sizes.heads;
  return {tensor + (b * length * sizes.heads + h) * sizes.d, sizes.heads * sizes.d};
}

// Pairs [begin, end) of a sequence and a head. Keys lie along vectors.
template <typename T>
void forward_part(const DistanceSizes& sizes, const T* q, const T* k, T* distances, std::int64_t begin,
                  std::int64_t end) {
  const hn::ScalableTag<T> d;
  PoolVector<T> transposed(static_cast<std::size_t>(sizes.d * key_tile));
  for (std::int64_t item = begin; item < end; ++item) {
    const Rowwise<const T> queries = rows_of<T>(sizes, sizes.queries, item, q);
    const Rowwise<const T> keys = rows_of<T>(sizes, sizes.keys, item, k);
    T* result = distances + item * sizes.queries * sizes.keys;
    for (std::int64_t s = 0; s < sizes.keys; s += key_tile) {
      const std::int64_t count = std::min(key_tile, sizes.keys - s);
      transpose(d, count, sizes.d, Rowwise<const T>{keys.data + s * keys.stride, keys.stride},
                Rowwise<T>{transposed.data(), key_tile});
      for (std::int64_t t = 0; t < sizes.queries; t += together) {
        const std::int64_t rows = std::min(together, sizes.queries - t);
        for_vectors(d, count, [&](std::int64_t i, auto part) HWY_ATTR {
          const auto zero = hn::Zero(d);
          hn::Vec<decltype(d)> sums[together] = {zero, zero, zero, zero};
          for (std::int64_t channel = 0; channel < sizes.d; ++channel) {
            const auto key = hn::LoadU(d, transposed.data() + channel * key_tile + i);
            for (std::int64_t row = 0; row < rows; ++row) {
              const auto query = hn::Set(d, queries.data[(t + row) * queries.stride + channel]);
              sums[row] = hn::Add(sums[row], hn::Abs(hn::Sub(query, key)));
            }
          }
          for (std::int64_t row = 0; row < rows; ++row) {
            part.store(sums[row], d, result + (t + row) * sizes.keys + s + i);
          }
        });
      }
    }
  }
}

// The same pairs: dq_t = sum_s g_ts sign(q_t - k_s), dk_s = -sum_t of the same. Channels lie along vectors.
template <typename T>
void backward_part(const DistanceSizes& sizes, const T* q, const T* k, const T* gradient, T* dq, T* dk,
                   std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  for (std::int64_t item = begin; item < end; ++item) {
    const Rowwise<const T> queries = rows_of<T>(sizes, sizes.queries, item, q);
    const Rowwise<const T> keys = rows_of<T>(sizes, sizes.keys, item, k);
    const Rowwise<T> dqueries = rows_of<T>(sizes, sizes.queries, item, dq);
    const Rowwise<T> dkeys = rows_of<T>(sizes, sizes.keys, item, dk);
    const T* g = gradient + item * sizes.queries * sizes.keys;
    for (std::int64_t s = 0; s < sizes.keys; ++s) std::fill_n(dkeys.data + s * dkeys.stride, sizes.d, T{0});
    for (std::int64_t t = 0; t < sizes.queries; t += together) {
      const std::int64_t rows = std::min(together, sizes.queries - t);
      for_vectors(d, sizes.d, [&](std::int64_t i, auto part) HWY_ATTR {
        const auto zero = hn::Zero(d);
        hn::Vec<decltype(d)> sums[together] = {zero, zero, zero, zero};
        hn::Vec<decltype(d)> own[together] = {zero, zero, zero, zero};
        for (std::int64_t row = 0; row < rows; ++row)
          own[row] = part.load(d, queries.data + (t + row) * queries.stride + i);
        for (std::int64_t s = 0; s < sizes.keys; ++s) {
          const auto key = part.load(d, keys.data + s * keys.stride + i);
          T* dkey = dkeys.data + s * dkeys.stride + i;
          auto key_sum = part.load(d, dkey);
          for (std::int64_t row = 0; row < rows; ++row) {
            const auto difference = hn::Sub(own[row], key);
            const auto factor = hn::Set(d, g[(t + row) * sizes.keys + s]);
            const auto signed_factor = hn::Xor(factor, hn::And(hn::SignBit(d), difference));
            const auto term = hn::IfThenZeroElse(hn::Eq(difference, zero), signed_factor);
            sums[row] = hn::Add(sums[row], term);
            key_sum = hn::Sub(key_sum, term);
          }
          part.store(key_sum, d, dkey);
        }
        for (std::int64_t row = 0; row < rows; ++row) {
          part.store(sums[row], d, dqueries.data + (t + row) * dqueries.stride + i);
        }
      });
    }
  }
}

// For the dispatch, which takes no templates.
void distance_forward_float(const DistanceSizes& sizes, const float* q, const float* k, float* distances,
                            std::int64_t begin, std::int64_t end) {
  forward_part(sizes, q, k, distances, begin, end);
}
void distance_forward_double(const DistanceSizes& sizes, const double* q, const double* k, double* distances,
                             std::int64_t begin, std::int64_t end) {
  forward_part(sizes, q, k, distances, begin, end);
}
void distance_backward_float(const DistanceSizes& sizes, const float* q, const float* k, const float* gradient,
                             float* dq, float* dk, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, q, k, gradient, dq, dk, begin, end);
}
void distance_backward_double(const DistanceSizes& sizes, const double* q, const double* k, const double* gradient,
                              double* dq, double* dk, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, q, k, gradient, dq, dk, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(distance_forward_float);
HWY_EXPORT(distance_forward_double);
HWY_EXPORT(distance_backward_float);
HWY_EXPORT(distance_backward_double);

namespace {

template <typename Body>
void for_heads(const DistanceSizes& sizes, const Body& body) {
  for_rows(sizes.batch * sizes.heads, sizes.queries * sizes.keys * sizes.d, body);
}

}  // namespace

void l1_distance_forward(const DistanceSizes& sizes, const float* q, const float* k, float* distances) {
  for_heads(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(distance_forward_float)(sizes, q, k, distances, begin, end);
  });
}

void l1_distance_forward(const DistanceSizes& sizes, const double* q, const double* k, double* distances) {
  for_heads(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(distance_forward_double)(sizes, q, k, distances, begin, end);
  });
}

void l1_distance_backward(const DistanceSizes& sizes, const float* q, const float* k, const float* ddistances,
                          float* dq, float* dk) {
  for_heads(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(distance_backward_float)(sizes, q, k, ddistances, dq, dk, begin, end);
  });
}

void l1_distance_backward(const DistanceSizes& sizes, const double* q, const double* k, const double* ddistances,
                          double* dq, double* dk) {
  for_heads(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(distance_backward_double)(sizes, q, k, ddistances, dq, dk, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
