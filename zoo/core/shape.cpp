#include "zoo/core/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "zoo/core/error.h"

namespace zoo {

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  if (dims.size() > max_rank) throw Error("a shape has at most {} axes, {} were given", max_rank, dims.size());
  std::ranges::copy(dims, dims_.begin());
  for (const std::int64_t extent : dims) {
    if (extent < 0) throw Error("a shape was given a negative extent: {}", str());
  }
}

std::int64_t Shape::size() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : dims()) product *= extent;
  return product;
}

int Shape::normalize(int axis) const {
  const int positive = axis < 0 ? axis + rank_ : axis;
  if (positive < 0 || positive >= rank_) throw Error("axis {} of a tensor of shape {}", axis, str());
  return positive;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  Shape result = *this;
  result.dims_[static_cast<std::size_t>(normalize(axis))] = extent;
  return result;
}

Shape Shape::insert(int axis, std::int64_t extent) const {
  if (rank_ == max_rank) throw Error("a shape has at most {} axes: {} cannot have one more", max_rank, str());
  Shape result = *this;
  result.rank_ = rank_ + 1;
  const auto at = static_cast<std::size_t>(result.normalize(axis));
  for (auto i = static_cast<std::size_t>(rank_); i > at; --i) result.dims_[i] = result.dims_[i - 1];
  result.dims_[at] = extent;
  return result;
}

Shape Shape::remove(int axis) const {
  Shape result = *this;
  const auto at = result.dims_.begin() + normalize(axis);
  std::copy(at + 1, result.dims_.begin() + rank_, at);
  result.rank_ = rank_ - 1;
  result.dims_[static_cast<std::size_t>(result.rank_)] = 0;
  return result;
}

std::string Shape::str() const {
  return fmt::format("[{}]", fmt::join(dims(), ", "));
}

Shape broadcast(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  for (int axis = -1; axis >= -shorter.rank(); --axis) {
    const std::int64_t x = longer[axis];
    const std::int64_t y = shorter[axis];
    if (x != y && x != 1 && y != 1) {
      throw Error("shapes {} and {} do not broadcast: axis {} is {} and {}", a.str(), b.str(), axis, a[axis], b[axis]);
    }
    result = result.with(axis, x == 1 ? y : x);
  }
  return result;
}

}  // namespace zoo
