#include "tasks/common/dashed_curves.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace zoo {

namespace {

/// The outermost pixels stay free.
constexpr std::int32_t padding = 1;

/// Owns these and what lies outside the picture.
constexpr std::uint16_t frame_owner = 0xFFFF;

/// Samples along a pixel's side by which the share of it that a dash covers is counted.
constexpr std::int64_t samples = 16;

/// The share of a pixel, in 1/255, that a dash covers: the dash is `length` long and `quarter_thickness` / 4 thick, its
/// head at `head` and its tail towards the pivot, the origin. In whole numbers, so that every machine counts the same.
std::uint8_t coverage(Pixel pixel, Pixel head, const DashStyle& style) {
  const std::int64_t norm = std::int64_t{head.y} * head.y + std::int64_t{head.x} * head.x;
  // Positions in units of half a sample; a pixel's centre is a whole number of pixels.
  constexpr std::int64_t unit = 2 * samples;
  const std::int64_t longest = style.length * unit;
  std::int64_t inside = 0;
  for (std::int64_t i = 0; i < samples; ++i) {
    for (std::int64_t j = 0; j < samples; ++j) {
      const std::int64_t y = (pixel.y - head.y) * unit + 2 * i + 1 - samples;
      const std::int64_t x = (pixel.x - head.x) * unit + 2 * j + 1 - samples;
      const std::int64_t along = -(y * head.y + x * head.x), across = y * head.x - x * head.y;
      // |across| / sqrt(norm) <= thickness / 2, with the thickness in quarters.
      const bool within =
          64 * across * across <= style.quarter_thickness * style.quarter_thickness * unit * unit * norm;
      inside += within && along >= 0 && along * along <= longest * longest * norm ? 1 : 0;
    }
  }
  return static_cast<std::uint8_t>((255 * inside + samples * samples / 2) / (samples * samples));
}

Pixel rounded(Pixel direction, double length) {
  const double norm = std::sqrt(static_cast<double>(direction.y * direction.y + direction.x * direction.x));
  return {static_cast<std::int32_t>(std::lround(direction.y * length / norm)),
          static_cast<std::int32_t>(std::lround(direction.x * length / norm))};
}

std::vector<Pixel> dilated(const std::vector<DashShapes::Ink>& ink, std::int32_t radius, std::int32_t extent) {
  std::vector<Pixel> all;
  for (std::int32_t y = -extent; y <= extent; ++y) {
    for (std::int32_t x = -extent; x <= extent; ++x) {
      const bool reached = std::ranges::any_of(ink, [&](const DashShapes::Ink& lit) {
        const Pixel step = lit.at - Pixel{y, x};
        return step.y * step.y + step.x * step.x <= radius * radius;
      });
      if (reached) all.push_back({y, x});
    }
  }
  return all;
}

}  // namespace

DashShapes::DashShapes(const DashStyle& style) : style_(style) {
  const std::int32_t radius = style.length + style.margin, extent = this->extent();
  for (std::int32_t y = -radius - 1; y <= radius + 1; ++y) {
    for (std::int32_t x = -radius - 1; x <= radius + 1; ++x) {
      // |distance - radius| < 1/2, in quarters of a square pixel.
      const std::int32_t distance = 4 * (y * y + x * x);
      if (distance <= (2 * radius - 1) * (2 * radius - 1) || distance >= (2 * radius + 1) * (2 * radius + 1)) continue;
      Shape shape;
      shape.head = {y, x};
      shape.tail = shape.head - rounded(shape.head, style.length);
      shape.advance = shape.head + rounded(shape.head, style.margin);
      for (std::int32_t at_y = -extent; at_y <= extent; ++at_y) {
        for (std::int32_t at_x = -extent; at_x <= extent; ++at_x) {
          const std::uint8_t light = coverage({at_y, at_x}, shape.head, style);
          if (light > 0) shape.ink.push_back({{at_y, at_x}, light});
        }
      }
      shape.reach = dilated(shape.ink, style.margin, extent);
      // Far ones first: they are where something else is most often.
      std::ranges::stable_sort(shape.reach, std::ranges::greater{}, [](Pixel at) { return at.y * at.y + at.x * at.x; });
      shapes_.push_back(std::move(shape));
    }
  }
  for (const Shape& last : shapes_) {
    for (const Shape& next : shapes_) {
      const double turn = std::abs(std::atan2(last.head.y * next.head.x - last.head.x * next.head.y,
                                              last.head.y * next.head.y + last.head.x * next.head.x));
      const double cosine = std::cos(std::min(style.continuity * turn, std::numbers::pi / 2));
      // Whole numbers: the rounding hides the last bits of cos and atan2, in which libraries differ.
      turn_weights_.push_back(static_cast<std::uint32_t>(std::llround(cosine * cosine * 0x1p30)));
    }
  }
}

void CurveField::clear(const DashShapes& shapes) {
  shapes_ = &shapes;
  const std::int32_t size = shapes.style().picture_size;
  frame_ = shapes.extent() + shapes.style().margin + 1;
  stride_ = size + 2 * frame_;
  placed_ = 0;
  owners_.assign(static_cast<std::size_t>(stride_) * static_cast<std::size_t>(stride_), frame_owner);
  for (std::int32_t y = padding; y < size - padding; ++y) {
    std::fill_n(&owner({y, padding}), size - 2 * padding, std::uint16_t{0});
  }
}

bool CurveField::begin(Curve& curve, Pixel tail, std::int32_t direction) {
  const std::int32_t size = shapes_->style().picture_size;
  if (std::min(tail.y, tail.x) < 0 || std::max(tail.y, tail.x) >= size) return false;
  const Pixel pivot = tail - shapes_->shape(direction).tail;
  if (!fits(pivot, direction, 0)) return false;
  curve.clear();
  place(curve, pivot, direction);
  return true;
}

bool CurveField::extend(Curve& curve, RandomStream& random) {
  const Dash last = curve.back();
  const Pixel pivot = last.pivot + shapes_->shape(last.direction).advance;
  const std::span<const std::uint32_t> weights = shapes_->turn_weights(last.direction);
  weights_.assign(weights.begin(), weights.end());
  std::uint64_t total = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
  // Drawn again without those that did not fit: the same as drawing among those that do, and most need no trying.
  while (total > 0) {
    std::uint64_t rest = random.below(total);
    std::size_t next = 0;
    for (; rest >= weights_[next]; ++next) rest -= weights_[next];
    if (fits(pivot, static_cast<std::int32_t>(next), last.number)) {
      place(curve, pivot, static_cast<std::int32_t>(next));
      return true;
    }
    total -= std::exchange(weights_[next], 0);
  }
  return false;
}

void CurveField::remove(Curve& curve) {
  for (const Dash& dash : curve) {
    for (const Pixel step : shapes_->shape(dash.direction).reach) {
      std::uint16_t& at = owner(dash.pivot + step);
      if (at == dash.number) at = 0;
    }
  }
  curve.clear();
}

/// A dash may come into the reach of the one before it in its curve, whose number is `last`, and of no other.
bool CurveField::fits(Pixel pivot, std::int32_t direction, std::uint16_t last) {
  return std::ranges::all_of(shapes_->shape(direction).reach, [&](Pixel step) {
    const std::uint16_t at = owner(pivot + step);
    return at == 0 || at == last;
  });
}

void CurveField::place(Curve& curve, Pixel pivot, std::int32_t direction) {
  curve.push_back({pivot, direction, ++placed_});
  for (const Pixel step : shapes_->shape(direction).reach) {
    std::uint16_t& at = owner(pivot + step);
    // Where the dash before reaches as well, it stays the owner, and the dash after next is kept away.
    if (at == 0) at = placed_;
  }
}

}  // namespace zoo
