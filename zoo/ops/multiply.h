#pragma once

#include "zoo/cpu/matmul.h"
#include "zoo/gpu/matmul.h"
#include "zoo/ops/dispatch.h"

namespace zoo::ops {

/// The product of a dispatch: cpu::matmul, or gpu::matmul.
template <typename At>
void multiply(const At& at, const cpu::MatmulShape& shape, const typename At::Real* a, const typename At::Real* b,
              const typename At::Real* bias, typename At::Real* c) {
  if constexpr (At::gpu) {
    gpu::matmul(shape, a, b, bias, c, at.precision(), at.stream());
  } else {
    cpu::matmul(shape, a, b, bias, c);
  }
}

}  // namespace zoo::ops
