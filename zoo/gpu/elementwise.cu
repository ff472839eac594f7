#include "zoo/gpu/elementwise.h"
#include "zoo/gpu/elementwise_rules.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"

namespace zoo::gpu {

namespace {

constexpr int threads = 256;
constexpr int elements = 4;  // of a thread, a block's width apart

// y = f(x); y may be x.
template <typename Function>
__global__ void __launch_bounds__(threads) map_kernel(Function f, const float* x, float* y, int count) {
  const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(blockIdx.x) * threads * elements + threadIdx.x;
  for (int i = 0; i < elements; ++i) {
    const std::ptrdiff_t at = first + i * threads;
    if (at < count) y[at] = f(x[at]);
  }
}

// result = f(x, grad); result may be either.
template <typename Function>
__global__ void __launch_bounds__(threads)
    map2_kernel(Function f, const float* x, const float* grad, float* result, int count) {
  const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(blockIdx.x) * threads * elements + threadIdx.x;
  for (int i = 0; i < elements; ++i) {
    const std::ptrdiff_t at = first + i * threads;
    if (at < count) result[at] = f(x[at], grad[at]);
  }
}

template <typename Rule>
struct Value {
  __device__ float operator()(float x) const { return Rule::value(x); }
};
template <typename Rule>
struct Gradient {
  __device__ float operator()(float x, float grad) const { return Rule::gradient(x, grad); }
};
struct Scale {
  float factor;
  __device__ float operator()(float x) const { return factor * x; }
};
struct AddScalar {
  float term;
  __device__ float operator()(float x) const { return x + term; }
};

// Launches a kernel of one thread for `elements` elements.
template <typename... Parameters, typename... Arguments>
void launch_map(void (*kernel)(Parameters...), std::int64_t size, Stream& stream, Arguments... arguments) {
  const int count = extent("elementwise", "count", size);
  if (count == 0) return;
  const int a_block = threads * elements;
  const int blocks = count / a_block + (count % a_block > 0 ? 1 : 0);
  launch(kernel, static_cast<unsigned>(blocks), threads, 0, stream, arguments..., count);
}

}  // namespace

void unary(cpu::Unary kind, const float* x, float* y, std::int64_t count, Stream& stream) {
  rules::with_rule(kind, [&](auto rule) {
    const Value<decltype(rule)> value;
    launch_map(map_kernel<Value<decltype(rule)>>, count, stream, value, x, y);
  });
}

void unary_backward(cpu::Unary kind, const float* argument_or_value, const float* grad, float* result,
                    std::int64_t count, Stream& stream) {
  rules::with_rule(kind, [&](auto rule) {
    const Gradient<decltype(rule)> gradient;
    launch_map(map2_kernel<Gradient<decltype(rule)>>, count, stream, gradient, argument_or_value, grad, result);
  });
}

void scale(const float* x, float factor, float* y, std::int64_t count, Stream& stream) {
  launch_map(map_kernel<Scale>, count, stream, Scale{factor}, x, y);
}

void add_scalar(const float* x, float term, float* y, std::int64_t count, Stream& stream) {
  launch_map(map_kernel<AddScalar>, count, stream, AddScalar{term}, x, y);
}

}  // namespace zoo::gpu
