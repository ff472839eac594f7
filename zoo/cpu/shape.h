#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "zoo/core/shape.h"
#include "zoo/cpu/strided.h"

/// Copies that move elements without changing them, for any type of element.
namespace zoo::cpu {

/// Copies `count` runs of `bytes` each; runs begin `from_step` and `to_step` bytes apart.
void copy_runs(const void* from, std::size_t from_step, void* to, std::size_t to_step, std::size_t bytes,
               std::int64_t count);

/// y, contiguous of shape `shape`, from x read with the given strides (0 where it is repeated). T is float, double or
/// std::int32_t.
template <typename T>
void copy_strided(const Shape& shape, const T* x, const Strides& strides, T* y);

}  // namespace zoo::cpu
