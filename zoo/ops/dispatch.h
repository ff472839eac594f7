#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "zoo/core/device.h"
#include "zoo/core/precision.h"
#include "zoo/core/tensor.h"
#include "zoo/gpu/engine.h"
#include "zoo/ops/dtypes.h"

namespace zoo::ops {

/// The elements of tensors for kernels of one device, on reals of type T: at(x) are x's.
template <typename T, bool on_the_gpu>
class At {
 public:
  using Real = T;
  static constexpr bool gpu = on_the_gpu;

  T* operator()(Tensor& x) const { return elements<T>(x); }
  const T* operator()(const Tensor& x) const { return elements<T>(x); }
  /// nullptr where the tensor is undefined.
  T* if_defined(Tensor& x) const { return x.defined() ? elements<T>(x) : nullptr; }
  const T* if_defined(const Tensor& x) const { return x.defined() ? elements<T>(x) : nullptr; }
  /// Elements of another type; nullptr where the tensor is undefined.
  template <typename Other>
  const Other* of(const Tensor& x) const {
    return x.defined() ? elements<Other>(x) : nullptr;
  }
  template <typename Other>
  Other* into(Tensor& x) const {
    return elements<Other>(x);
  }

 private:
  template <typename E, typename AnyTensor>
  static auto elements(AnyTensor& x) {
    if constexpr (gpu) {
      return x.template device_data<E>();
    } else {
      return x.template data<E>();
    }
  }
};

template <typename T>
using AtCpu = At<T, false>;

/// Kernels of the GPU on float32, given to stream(); nobody waits for the elements.
struct AtGpu : At<float, true> {
  gpu::Stream& stream() const { return gpu::engine_stream(); }
  Precision precision() const { return product_precision(); }
};

/// Calls body(at), whose one source fills the structs of kernels for the device where the tensors are: with AtGpu for
/// float32 on a GPU where `has_gpu_kernel`, with AtCpu<float> or AtCpu<double> otherwise; `if constexpr (at.gpu)` tells
/// them apart. Throws Error naming the op for another dtype.
template <typename Body>
decltype(auto) dispatch(DType dtype, std::string_view op, const Body& body, bool has_gpu_kernel = true) {
  if constexpr (gpu_built) {
    if (on_gpu() && has_gpu_kernel && dtype == DType::f32) return body(AtGpu{});
  }
  return with_real_type(dtype, op, [&](auto zero) -> decltype(auto) { return body(AtCpu<decltype(zero)>{}); });
}

/// The elements of a tensor of f32 or i32 for kernels of the GPU that move them without looking at them.
inline const std::uint32_t* words_of(const Tensor& x) {
  const void* elements = x.dtype() == DType::i32 ? static_cast<const void*>(x.device_data<std::int32_t>())
                                                 : static_cast<const void*>(x.device_data<float>());
  return static_cast<const std::uint32_t*>(elements);
}
inline std::uint32_t* words_of(Tensor& x) {
  void* elements = x.dtype() == DType::i32 ? static_cast<void*>(x.device_data<std::int32_t>())
                                           : static_cast<void*>(x.device_data<float>());
  return static_cast<std::uint32_t*>(elements);
}

}  // namespace zoo::ops
