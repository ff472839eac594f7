#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace zoo {

/// The extents of a tensor, outermost first; rank 0 is a scalar. A small value without heap memory.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  /// Throws Error for more than max_rank extents or a negative one.
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  /// Extent of an axis; a negative axis counts from the end. Throws Error when out of range.
  std::int64_t operator[](int axis) const { return dims_[static_cast<std::size_t>(normalize(axis))]; }
  /// Number of elements; 1 for a scalar.
  std::int64_t size() const;
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }

  /// The axis as a number in [0, rank). Throws Error when out of range.
  int normalize(int axis) const;
  /// This shape with one extent changed, one axis inserted before `axis` (of the new shape), or one removed.
  Shape with(int axis, std::int64_t extent) const;
  Shape insert(int axis, std::int64_t extent) const;
  Shape remove(int axis) const;

  bool operator==(const Shape&) const = default;
  /// "[2, 3]"
  std::string str() const;

 private:
  std::array<std::int64_t, max_rank> dims_{};
  int rank_ = 0;
};

/// The shape of an elementwise operation on both (NumPy's broadcasting). Throws Error naming both when they do not fit.
Shape broadcast(const Shape& a, const Shape& b);

}  // namespace zoo
