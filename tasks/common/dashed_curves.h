#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "zoo/core/random.h"

namespace zoo {

/// A place in a picture, or a step between two, in whole pixels; y counts downwards.
struct Pixel {
  std::int32_t y = 0, x = 0;

  Pixel operator+(Pixel other) const { return {y + other.y, x + other.x}; }
  Pixel operator-(Pixel other) const { return {y - other.y, x - other.x}; }
  bool operator==(const Pixel&) const = default;
};

/// How dashes look and follow each other.
struct DashStyle {
  std::int32_t picture_size = 32;      ///< pixels, the picture is square
  std::int32_t length = 2;             ///< of a dash, pixels
  std::int32_t quarter_thickness = 2;  ///< thickness of a dash, quarters of a pixel
  std::int32_t margin = 1;             ///< free pixels around a dash: the gap between two of a curve is twice this
  double continuity = 1;               ///< c: turns by dtheta have weight cos(min(c |dtheta|, pi/2))^2
};

/// A dash of one of the directions of DashShapes. It lies on the line from the pivot to pivot + head, at that end of
/// it, and the pivot of the next dash is pivot + advance.
struct Dash {
  Pixel pivot;
  std::int32_t direction = 0;
  std::uint16_t number = 0;  ///< by which CurveField knows it, from 1
};

using Curve = std::vector<Dash>;

/// Everything about dashes that does not depend on where they are, for each direction a dash can have: those from a
/// pivot to the pixels at distance length + margin, rounded.
class DashShapes {
 public:
  /// Pixel `at` from the pivot has `light`, 1 to 255.
  struct Ink {
    Pixel at;
    std::uint8_t light;
  };
  struct Shape {
    Pixel tail, head;          ///< the dash's ends, from the pivot
    Pixel advance;             ///< the next pivot, from this
    std::vector<Ink> ink;      ///< what is drawn: the share of each pixel that the dash covers
    std::vector<Pixel> reach;  ///< what no other dash may come into: ink and what is within `margin` of it
  };

  explicit DashShapes(const DashStyle& style);

  const DashStyle& style() const { return style_; }
  /// No ink or reach is farther from the pivot than this, in y or in x.
  std::int32_t extent() const { return style_.length + 2 * style_.margin + style_.quarter_thickness / 4 + 2; }
  std::int32_t directions() const { return static_cast<std::int32_t>(shapes_.size()); }
  const Shape& shape(std::int32_t direction) const { return shapes_[static_cast<std::size_t>(direction)]; }
  /// The weights, each at most 2^30, with which dashes of all directions follow one of direction `last`.
  std::span<const std::uint32_t> turn_weights(std::int32_t last) const {
    const auto row = static_cast<std::size_t>(directions());
    return std::span(turn_weights_).subspan(static_cast<std::size_t>(last) * row, row);
  }

  Pixel tail(const Dash& dash) const { return dash.pivot + shape(dash.direction).tail; }
  Pixel head(const Dash& dash) const { return dash.pivot + shape(dash.direction).head; }

 private:
  DashStyle style_;
  std::vector<Shape> shapes_;
  std::vector<std::uint32_t> turn_weights_;  // [last, next]
};

/// The picture in which curves grow without touching each other or themselves. Meant to be kept and used again.
class CurveField {
 public:
  /// An empty picture for dashes of these shapes, which must outlive its use.
  void clear(const DashShapes& shapes);

  /// Makes `curve` one dash whose tail and direction are given; false, and nothing done, when it does not fit.
  bool begin(Curve& curve, Pixel tail, std::int32_t direction);
  /// Adds a dash to a curve, its direction drawn with the turn weights of those that fit; false when none fits.
  bool extend(Curve& curve, RandomStream& random);
  /// Takes the curve out again.
  void remove(Curve& curve);

 private:
  std::uint16_t& owner(Pixel at) {
    return owners_[static_cast<std::size_t>((at.y + frame_) * stride_ + at.x + frame_)];
  }
  bool fits(Pixel pivot, std::int32_t direction, std::uint16_t last);
  void place(Curve& curve, Pixel pivot, std::int32_t direction);

  const DashShapes* shapes_ = nullptr;
  std::int32_t frame_ = 0, stride_ = 0;
  std::uint16_t placed_ = 0;
  // [stride, stride], the number of the dash that reaches there first, or 0; a frame around the picture is never free,
  // so that what would lie outside needs no other test.
  std::vector<std::uint16_t> owners_;
  std::vector<std::uint32_t> weights_;  // working memory
};

}  // namespace zoo
