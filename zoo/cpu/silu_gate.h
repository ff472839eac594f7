#pragma once

#include <cstdint>

/// y * silu(z) on arrays, for T float and double.
namespace zoo::cpu {

template <typename T>
void silu_gate(const T* y, const T* z, T* result, std::int64_t count);

/// The gradients of y and z for `grad` by the result; nullptr where one is not wanted.
template <typename T>
void silu_gate_backward(const T* y, const T* z, const T* grad, T* dy, T* dz, std::int64_t count);

}  // namespace zoo::cpu
