#include "zoo/ops/accumulate.h"

#include "zoo/cpu/accumulate.h"
#include "zoo/gpu/broadcast.h"
#include "zoo/ops/dispatch.h"

namespace zoo::ops {

void accumulate(Tensor& into, const Tensor& term) {
  dispatch(into.dtype(), "a sum of gradients", [&](auto at) {
    if constexpr (at.gpu) {
      gpu::accumulate(at(into), at(term), into.size(), at.stream());
    } else {
      cpu::accumulate(at(into), at(term), into.size());
    }
  });
}

}  // namespace zoo::ops
