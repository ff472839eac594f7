#include "zoo/cpu/accumulate.h"

#include "zoo/core/parallel.h"

namespace zoo::cpu {

namespace {

template <typename T>
void add(T* into, const T* term, std::int64_t count) {
  parallel_for(count, 32768, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) into[i] += term[i];
  });
}

}  // namespace

void accumulate(float* into, const float* term, std::int64_t count) {
  add(into, term, count);
}

void accumulate(double* into, const double* term, std::int64_t count) {
  add(into, term, count);
}

}  // namespace zoo::cpu
