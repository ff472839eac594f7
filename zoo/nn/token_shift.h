#pragma once

#include <cstdint>
#include <string_view>

#include "zoo/nn/layer.h"
#include "zoo/ops/ops.h"

namespace zoo {

/// Zeros [B,1,C] before the first token, into `state` under `name`.
inline void start_token_shift(State& state, std::string_view name, std::int64_t batch, std::int64_t channels,
                              DType dtype) {
  state.set(name, Tensor::zeros({batch, 1, channels}, dtype));
}

/// x_{t-1} for each t of x [B,T,C], the first from the state, which goes on with the last.
inline Tensor token_shift(const Tensor& x, State& state, std::string_view name) {
  const std::int64_t T = x.dim(1);
  const Tensor& last = state.get(name);
  Tensor shifted = T == 1 ? last : ops::concat({last, ops::slice(x, 1, 0, T - 1)}, 1);
  state.set(name, ops::slice(x, 1, T - 1, T));
  return shifted;
}

}  // namespace zoo
