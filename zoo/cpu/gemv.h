#pragma once

#include <cstdint>

namespace zoo::cpu {

/// y = W x + bias, W [n,k] row-major, x [k], bias [n] or nullptr, y [n]: what decoding a token is made of. Reads W
/// once, as fast as memory gives it. The bits do not depend on the number of threads.
void gemv(const float* w, const float* x, const float* bias, std::int64_t n, std::int64_t k, float* y);

}  // namespace zoo::cpu
