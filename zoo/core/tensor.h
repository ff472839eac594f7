#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

#include "zoo/core/device.h"
#include "zoo/core/pool.h"
#include "zoo/core/shape.h"

namespace zoo {

enum class DType : std::uint8_t {
  f32,
  f64,
  i32,
  bf16  ///< bfloat16: how the tape may keep what was computed (zoo/core/kept.h); no op takes it
};
std::string_view dtype_name(DType dtype);
std::size_t dtype_size(DType dtype);

template <typename T>
inline constexpr DType dtype_of = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::i32;

class Node;  // zoo/core/tape.h

/// An n-dimensional array, contiguous and row-major: a cheap handle to shared memory, with its place on the tape if it
/// has one. Elements are written only by the kernel that makes the tensor (and by the optimizer, into slabs); every op
/// returns a new one.
class Tensor {
 public:
  /// No tensor: defined() is false.
  Tensor() = default;

  /// Uninitialised memory from the device's pool.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
  static Tensor scalar(double value, DType dtype = DType::f32) { return full({}, value, dtype); }
  /// Copies the values; their number must be shape.size(). On a GPU nobody waits.
  template <typename T>
  static Tensor from(const Shape& shape, std::span<const T> values);
  template <typename T>
  static Tensor from(const Shape& shape, std::initializer_list<T> values) {
    return from<T>(shape, std::span<const T>(values.begin(), values.size()));
  }

  bool defined() const { return buffer_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int axis) const { return shape_[axis]; }
  int rank() const { return shape_.rank(); }
  std::int64_t size() const { return size_; }
  DType dtype() const { return dtype_; }
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * dtype_size(dtype_); }

  /// The elements, for the host: where tensors lie on a GPU, its kernels are waited for, but not to read what from()
  /// made of whole numbers, of which the host has a copy. Throws Error when T is not the dtype.
  template <typename T>
  T* data() {
    check_dtype(dtype_of<T>);
    return static_cast<T*>(raw());
  }
  template <typename T>
  const T* data() const {
    check_dtype(dtype_of<T>);
    return static_cast<const T*>(on_gpu() ? read_by_host() : address());
  }
  template <typename T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<std::size_t>(size_)};
  }
  void* raw() const {
    if (on_gpu()) write_by_host();
    return address();
  }
  /// The elements for kernels of the GPU, given to it after those under way: nobody waits, and the host must not follow
  /// the pointer. Throws Error when T is not the dtype.
  template <typename T>
  T* device_data() {
    check_dtype(dtype_of<T>);
    if (on_gpu()) forget_host_copy();
    return static_cast<T*>(address());
  }
  template <typename T>
  const T* device_data() const {
    check_dtype(dtype_of<T>);
    return static_cast<const T*>(address());
  }
  /// The value of a one-element tensor of any dtype.
  double item() const;

  /// The same elements, another shape of equal size, off the tape (ops::reshape is its differentiable form).
  Tensor view(const Shape& shape) const;
  /// `count` rows of the outermost axis from `first`, sharing memory, off the tape.
  Tensor rows(std::int64_t first, std::int64_t count) const;
  /// The same elements without a place on the tape.
  Tensor detach() const;
  /// Shape, dtype and place on the tape alone: defined() is false, and elements cannot be asked for.
  Tensor without_elements() const;
  /// The same elements as a new leaf of the tape: gradients with respect to it can be asked for.
  Tensor variable() const;
  /// A copy in other memory, off the tape.
  Tensor clone() const;
  /// Sets all elements to zero, or to those of a tensor of the same dtype and size, in place: for slabs.
  void clear();
  void copy_from(const Tensor& other);
  /// This tensor with `more` behind it along `axis`, off the tape, `more` written into the memory that this one's block
  /// has left: what a growing list of positions costs is then what is new of it, but for a copy each time that the list
  /// has grown by an eighth. Undefined when that cannot be: a shared or full block, an axis of more than one element
  /// before `axis`, another dtype, or a shape that does not fit. (ops::concat is the general form.)
  Tensor append_in_place(const Tensor& more, int axis) const;
  /// The values in another dtype, off the tape (ops::cast is its differentiable form).
  Tensor to(DType dtype) const;

  /// f32 rounded to bf16, ties to even, with its place on the tape: on a GPU, where nobody waits. Throws Error unless
  /// it fills its memory; tensors that fill the same share the result for as long as there is one.
  Tensor rounded() const;
  /// bf16 as f32 again, with its place on the tape.
  Tensor widened() const;
  /// Whether these are all elements of the memory in which they lie, not some rows of it.
  bool fills_memory() const;

  /// Whether a gradient can flow to or through it.
  bool requires_grad() const { return node_ != nullptr; }
  const std::shared_ptr<Node>& node() const { return node_; }
  int output_index() const { return output_index_; }
  /// The same elements as output `index` of `node`. For the tape.
  Tensor with_node(std::shared_ptr<Node> node, int index) const;
  /// Whether no other tensor shares this memory, so that it may be changed in place.
  bool sole_owner() const;

 private:
  void check_dtype(DType wanted) const;
  void* address() const { return static_cast<std::byte*>(buffer_.get()) + offset_; }
  // On a GPU: where the host may read the elements, and that it may write them.
  const void* read_by_host() const;
  void write_by_host() const;
  void forget_host_copy() const;

  std::shared_ptr<void> buffer_;
  std::size_t offset_ = 0;  // bytes
  Shape shape_;
  std::int64_t size_ = 0;
  DType dtype_ = DType::f32;
  int output_index_ = 0;
  std::shared_ptr<Node> node_;
};

using Tensors = PoolVector<Tensor>;

}  // namespace zoo
