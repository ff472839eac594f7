#include "zoo/cpu/accumulate.h"

#include "zoo/core/error.h"
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

void accumulate(Tensor& into, const Tensor& term) {
  switch (into.dtype()) {
    case DType::f32:
      return add(into.data<float>(), term.data<float>(), into.size());
    case DType::f64:
      return add(into.data<double>(), term.data<double>(), into.size());
    case DType::i32:
      throw Error("a tensor of whole numbers has no gradient");
  }
}

}  // namespace zoo::cpu
