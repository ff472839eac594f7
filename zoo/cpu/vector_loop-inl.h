// Loops over arrays by vectors, with a shorter last step. Included once for each instruction set (hence no
// #pragma once).
#if defined(ZOO_CPU_VECTOR_LOOP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ZOO_CPU_VECTOR_LOOP_INL_H_
#undef ZOO_CPU_VECTOR_LOOP_INL_H_
#else
#define ZOO_CPU_VECTOR_LOOP_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// A full vector of an array.
struct Whole {
  template <class D, typename T = hn::TFromD<D>>
  HWY_INLINE hn::Vec<D> load(D d, const T* from) const {
    return hn::LoadU(d, from);
  }
  template <class D, typename T = hn::TFromD<D>>
  HWY_INLINE void store(hn::Vec<D> value, D d, T* to) const {
    hn::StoreU(value, d, to);
  }
  /// `value` where the array has elements; 0, or `other`, beyond its end.
  template <class D>
  HWY_INLINE hn::Vec<D> masked(D, hn::Vec<D> value) const {
    return value;
  }
  template <class D>
  HWY_INLINE hn::Vec<D> masked(D, hn::Vec<D> value, hn::Vec<D>) const {
    return value;
  }
};

/// The last `count` elements of an array, fewer than a vector: nothing beyond them is read or written; lanes beyond
/// them are loaded as 0.
struct Part {
  std::size_t count;

  template <class D, typename T = hn::TFromD<D>>
  HWY_INLINE hn::Vec<D> load(D d, const T* from) const {
#if HWY_TARGET <= HWY_AVX2
    return hn::MaskedLoad(hn::FirstN(d, count), d, from);
#else
    HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
    std::memcpy(lanes, from, count * sizeof(T));
    return hn::Load(d, lanes);
#endif
  }
  template <class D, typename T = hn::TFromD<D>>
  HWY_INLINE void store(hn::Vec<D> value, D d, T* to) const {
#if HWY_TARGET <= HWY_AVX2
    hn::BlendedStore(value, hn::FirstN(d, count), d, to);
#else
    HWY_ALIGN T lanes[hn::MaxLanes(d)];
    hn::Store(value, d, lanes);
    std::memcpy(to, lanes, count * sizeof(T));
#endif
  }
  template <class D>
  HWY_INLINE hn::Vec<D> masked(D d, hn::Vec<D> value) const {
    return hn::IfThenElseZero(hn::FirstN(d, count), value);
  }
  template <class D>
  HWY_INLINE hn::Vec<D> masked(D d, hn::Vec<D> value, hn::Vec<D> other) const {
    return hn::IfThenElse(hn::FirstN(d, count), value, other);
  }
};

/// Calls body(i, Whole{}) for each full vector of [0, count) and body(i, Part{n}) for what is left.
template <class D, class Body>
HWY_INLINE void for_vectors(D d, std::int64_t count, const Body& body) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, Whole{});
  if (i < count) body(i, Part{static_cast<std::size_t>(count - i)});
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, by target
