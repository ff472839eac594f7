#include "zoo/core/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "zoo/core/accelerator.h"
#include "zoo/core/error.h"
#include "zoo/core/tape.h"

namespace zoo {

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

std::size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::f32:
    case DType::i32:
      break;
  }
  return 4;
}

namespace {

template <typename T>
Tensor filled(const Shape& shape, double value) {
  if (!on_gpu()) {
    Tensor result = Tensor::empty(shape, dtype_of<T>);
    std::fill_n(result.data<T>(), result.size(), static_cast<T>(value));
    return result;
  }
  return Tensor::from<T>(shape, PoolVector<T>(static_cast<std::size_t>(shape.size()), static_cast<T>(value)));
}

template <typename From, typename To>
void convert(const Tensor& from, Tensor& to) {
  const auto values = from.values<From>();
  std::transform(values.begin(), values.end(), to.data<To>(), [](From value) { return static_cast<To>(value); });
}

template <typename From>
void convert_to_any(const Tensor& from, Tensor& to) {
  switch (to.dtype()) {
    case DType::f32:
      return convert<From, float>(from, to);
    case DType::f64:
      return convert<From, double>(from, to);
    case DType::i32:
      return convert<From, std::int32_t>(from, to);
    case DType::bf16:
      break;
  }
  throw Error("a tensor of {} {} cannot become bf16 here: Tensor::rounded does that, of f32", dtype_name(from.dtype()),
              from.shape().str());
}

// What the host gave to a GPU and may look at again: indices, and tables of this size, such as a decay of each head.
constexpr std::size_t kept_table_bytes = 1024;

// Gives a block back to the device's pool, and knows how many bytes were asked for. Of what the host gave to a GPU and
// may look at again it keeps a copy.
struct Block {
  std::size_t bytes = 0;
  void* host_copy = nullptr;
  std::weak_ptr<void> rounded{};  // to bfloat16, for the tape
  void operator()(void* block) const {
    pool_free(host_copy, bytes);
    if (on_gpu()) {
      accelerator().free(block, bytes);
    } else {
      pool_free(block, bytes);
    }
  }
  // How many the tensor may use.
  std::size_t usable(const void* block) const {
    return on_gpu() ? accelerator().block_bytes(bytes) : pool_block_bytes(block, bytes);
  }
};

void* allocate_block(std::size_t bytes) {
  detail::tensors_exist();
  return on_gpu() ? accelerator().allocate(bytes) : pool_allocate(bytes);
}

// Copies and clears elements where they lie.
void copy_elements(void* to, const void* from, std::size_t bytes) {
  if (on_gpu()) {
    accelerator().copy(to, from, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

void clear_elements(void* elements, std::size_t bytes) {
  if (on_gpu()) {
    accelerator().set_to_zero(elements, bytes);
  } else {
    std::memset(elements, 0, bytes);
  }
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  Tensor result;
  result.shape_ = shape;
  result.size_ = shape.size();
  result.dtype_ = dtype;
  const std::size_t bytes = result.bytes();
  result.buffer_ = std::shared_ptr<void>(allocate_block(bytes), Block{.bytes = bytes}, PoolAllocator<std::byte>{});
  return result;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor result = empty(shape, dtype);
  result.clear();
  return result;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  if (value == 0 && !std::signbit(value)) return zeros(shape, dtype);
  switch (dtype) {
    case DType::f32:
      return filled<float>(shape, value);
    case DType::f64:
      return filled<double>(shape, value);
    case DType::i32:
      return filled<std::int32_t>(shape, value);
    case DType::bf16:
      break;
  }
  throw Error("a tensor of bf16 is made by Tensor::rounded alone");
}

template <typename T>
Tensor Tensor::from(const Shape& shape, std::span<const T> values) {
  if (static_cast<std::int64_t>(values.size()) != shape.size()) {
    throw Error("a tensor of shape {} has {} values, {} were given", shape.str(), shape.size(), values.size());
  }
  Tensor result = empty(shape, dtype_of<T>);
  if (!on_gpu()) {
    std::ranges::copy(values, result.data<T>());
    return result;
  }
  accelerator().upload(result.address(), values.data(), result.bytes());
  if (result.bytes() > 0 && (dtype_of<T> == DType::i32 || result.bytes() <= kept_table_bytes)) {
    auto* block = std::get_deleter<Block>(result.buffer_);
    block->host_copy = pool_allocate(block->bytes);
    std::memcpy(block->host_copy, values.data(), block->bytes);
  }
  return result;
}

template Tensor Tensor::from<float>(const Shape&, std::span<const float>);
template Tensor Tensor::from<double>(const Shape&, std::span<const double>);
template Tensor Tensor::from<std::int32_t>(const Shape&, std::span<const std::int32_t>);

double Tensor::item() const {
  if (!defined() || size_ != 1) throw Error("item() needs one element, the tensor's shape is {}", shape_.str());
  switch (dtype_) {
    case DType::f32:
      return data<float>()[0];
    case DType::f64:
      return data<double>()[0];
    case DType::i32:
      return data<std::int32_t>()[0];
    case DType::bf16:
      break;
  }
  return widened().item();
}

Tensor Tensor::view(const Shape& shape) const {
  if (shape.size() != size_) throw Error("a tensor of shape {} cannot be seen as {}", shape_.str(), shape.str());
  Tensor result = detach();
  result.shape_ = shape;
  return result;
}

Tensor Tensor::rows(std::int64_t first, std::int64_t count) const {
  const std::int64_t extent = shape_[0];
  if (first < 0 || count < 0 || first + count > extent) {
    throw Error("rows {} to {} of a tensor of shape {}", first, first + count, shape_.str());
  }
  Tensor result = detach();
  result.shape_ = shape_.with(0, count);
  result.size_ = result.shape_.size();
  result.offset_ += extent == 0 ? 0 : bytes() / static_cast<std::size_t>(extent) * static_cast<std::size_t>(first);
  return result;
}

Tensor Tensor::detach() const {
  Tensor result = *this;
  result.node_ = nullptr;
  result.output_index_ = 0;
  return result;
}

Tensor Tensor::without_elements() const {
  Tensor result = *this;
  result.buffer_ = nullptr;
  return result;
}

Tensor Tensor::variable() const {
  return with_node(Node::variable(shape_, dtype_), 0);
}

Tensor Tensor::clone() const {
  Tensor result = empty(shape_, dtype_);
  result.copy_from(*this);
  return result;
}

void Tensor::clear() {
  if (on_gpu()) forget_host_copy();
  clear_elements(address(), bytes());
}

void Tensor::copy_from(const Tensor& other) {
  if (other.dtype_ != dtype_ || other.size_ != size_) {
    throw Error("a tensor of {} {} cannot take the elements of one of {} {}", dtype_name(dtype_), shape_.str(),
                dtype_name(other.dtype_), other.shape_.str());
  }
  if (on_gpu()) forget_host_copy();
  copy_elements(address(), other.address(), bytes());
}

Tensor Tensor::append_in_place(const Tensor& more, int axis) const {
  const auto* block = std::get_deleter<Block>(buffer_);
  if (block == nullptr || !sole_owner() || requires_grad() || more.requires_grad() || more.dtype_ != dtype_) return {};
  if (more.rank() != rank() || more.shape_.with(axis, shape_[axis]) != shape_) return {};
  for (int before = 0; before < axis; ++before) {
    if (shape_[before] != 1) return {};
  }
  if (bytes() + more.bytes() > block->usable(buffer_.get())) return {};
  if (on_gpu()) forget_host_copy();
  copy_elements(static_cast<std::byte*>(address()) + bytes(), more.address(), more.bytes());
  Tensor result = *this;
  result.shape_ = shape_.with(axis, shape_[axis] + more.shape_[axis]);
  result.size_ = result.shape_.size();
  return result;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return detach();
  Tensor result = empty(shape_, dtype);
  switch (dtype_) {
    case DType::f32:
      convert_to_any<float>(*this, result);
      break;
    case DType::f64:
      convert_to_any<double>(*this, result);
      break;
    case DType::i32:
      convert_to_any<std::int32_t>(*this, result);
      break;
    case DType::bf16:
      convert_to_any<float>(widened(), result);
      break;
  }
  return result;
}

Tensor Tensor::rounded() const {
  if (!on_gpu() || dtype_ != DType::f32 || !fills_memory()) {
    throw Error("only whole tensors of f32 on the device gpu are rounded to bf16, not this one of {} {}",
                dtype_name(dtype_), shape_.str());
  }
  std::weak_ptr<void>& known = std::get_deleter<Block>(buffer_)->rounded;
  Tensor result = *this;
  result.dtype_ = DType::bf16;
  result.buffer_ = known.lock();
  if (result.buffer_ == nullptr) {
    known = result.buffer_ = empty(shape_, DType::bf16).buffer_;
    accelerator().to_bfloat16(result.address(), address(), size_);
  }
  return result;
}

Tensor Tensor::widened() const {
  if (dtype_ != DType::bf16) throw Error("a tensor of {} {} is not bf16", dtype_name(dtype_), shape_.str());
  Tensor result = empty(shape_, DType::f32);
  accelerator().from_bfloat16(result.address(), address(), size_);
  return result.with_node(node_, output_index_);
}

bool Tensor::fills_memory() const {
  const auto* block = std::get_deleter<Block>(buffer_);
  return block != nullptr && offset_ == 0 && bytes() == block->bytes;
}

Tensor Tensor::with_node(std::shared_ptr<Node> node, int index) const {
  Tensor result = *this;
  result.node_ = std::move(node);
  result.output_index_ = index;
  return result;
}

bool Tensor::sole_owner() const {
  return buffer_.use_count() == 1 && offset_ == 0;
}

const void* Tensor::read_by_host() const {
  const auto* block = std::get_deleter<Block>(buffer_);
  if (block->host_copy != nullptr) return static_cast<const std::byte*>(block->host_copy) + offset_;
  detail::access_from_host();
  return address();
}

void Tensor::write_by_host() const {
  forget_host_copy();
  detail::access_from_host();
}

void Tensor::forget_host_copy() const {
  auto* block = std::get_deleter<Block>(buffer_);
  if (block == nullptr || block->host_copy == nullptr) return;
  pool_free(std::exchange(block->host_copy, nullptr), block->bytes);
}

void Tensor::check_dtype(DType wanted) const {
  if (!defined()) throw Error("the elements of an undefined tensor were asked for");
  if (wanted != dtype_) {
    throw Error("a tensor of {} {} was read as {}", dtype_name(dtype_), shape_.str(), dtype_name(wanted));
  }
}

}  // namespace zoo
