#include "zoo/gpu/broadcast.h"
#include "zoo/gpu/each.h"
#include "zoo/gpu/strided.h"

namespace zoo::gpu {

namespace {

constexpr const char* family = "broadcast";

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Sub {
  __device__ float operator()(float a, float b) const { return a - b; }
};
struct Mul {
  __device__ float operator()(float a, float b) const { return a * b; }
};
struct Div {
  __device__ float operator()(float a, float b) const { return a / b; }
};
// NaN in either operand gives NaN: b where the comparison fails, which it does for a NaN in b, and a for a NaN in a.
struct Maximum {
  __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};
struct Minimum {
  __device__ float operator()(float a, float b) const { return a < b || a != a ? a : b; }
};
struct Greater {
  __device__ float operator()(float a, float b) const { return a > b ? 1.0F : 0.0F; }
};

template <typename Function>
struct Binary {
  StridedIndex<2> index;
  const float* a;
  const float* b;
  float* y;

  __device__ void operator()(int i) const {
    std::ptrdiff_t at[2];
    index.find(i, at);
    y[i] = Function()(a[at[0]], b[at[1]]);
  }
};

struct Where {
  StridedIndex<3> index;
  const float* condition;
  const float* a;
  const float* b;
  float* y;

  __device__ void operator()(int i) const {
    std::ptrdiff_t at[3];
    index.find(i, at);
    y[i] = condition[at[0]] != 0 ? a[at[1]] : b[at[2]];
  }
};

struct Accumulate {
  float* into;
  const float* term;
  __device__ void operator()(int i) const { into[i] += term[i]; }
};

template <typename Body>
void with_function(cpu::Binary kind, const Body& body) {
  switch (kind) {
    case cpu::Binary::add:
      return body(Add());
    case cpu::Binary::sub:
      return body(Sub());
    case cpu::Binary::mul:
      return body(Mul());
    case cpu::Binary::div:
      return body(Div());
    case cpu::Binary::maximum:
      return body(Maximum());
    case cpu::Binary::minimum:
      return body(Minimum());
    case cpu::Binary::greater:
      return body(Greater());
  }
}

}  // namespace

void binary(cpu::Binary kind, std::int64_t count, const cpu::StridedLoops<2>& loops, const float* a, const float* b,
            float* y, Stream& stream) {
  if (count == 0) return;
  with_function(kind, [&](auto function) {
    launch_each(family, count, Binary<decltype(function)>{{family, loops}, a, b, y}, stream);
  });
}

void where(std::int64_t count, const cpu::StridedLoops<3>& loops, const float* condition, const float* a,
           const float* b, float* y, Stream& stream) {
  if (count == 0) return;
  launch_each(family, count, Where{{family, loops}, condition, a, b, y}, stream);
}

void accumulate(float* into, const float* term, std::int64_t count, Stream& stream) {
  launch_each(family, count, Accumulate{into, term}, stream);
}

}  // namespace zoo::gpu
