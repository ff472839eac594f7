#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tasks/common/dashed_curves.h"
#include "zoo/core/random.h"

namespace zoo {

/// What a picture of pathfinder shows.
struct Scene {
  std::vector<Curve> curves;       ///< the two targets, then the distractors
  std::array<int, 2> dotted = {};  ///< the target on whose start the first dot is, and the one on whose end the second
  std::array<Pixel, 2> dots = {};  ///< their centres

  /// 1 when both dots are on the same curve, else 0.
  std::int32_t label() const { return dotted[0] == dotted[1] ? 1 : 0; }
};

/// The settings of a picture.
struct SceneStyle {
  DashStyle dash;
  std::int32_t segments = 14;            ///< dashes of each target
  std::int32_t distractors = 5;          ///< how many are tried
  std::int32_t distractor_segments = 4;  ///< dashes of each
  std::int32_t seed_distance = 7;        ///< between the starts of the two targets, pixels
  std::int32_t dot_half_radius = 3;      ///< radius of a dot, half pixels
};

/// Draws scenes and paints them. May be used from several threads at once, each with a field and a scene of its own.
class ScenePainter {
 public:
  explicit ScenePainter(const SceneStyle& style);

  const SceneStyle& style() const { return style_; }
  const DashShapes& shapes() const { return shapes_; }

  /// Draws a scene; the memory of `field` and `scene` is reused. Two targets that cannot grow to their full length are
  /// drawn anew; a distractor that cannot is left out.
  void draw(RandomStream& random, CurveField& field, Scene& scene) const;
  /// Light 0 to 255 of each pixel, row by row.
  void paint(const Scene& scene, std::vector<std::int32_t>& pixels) const;

 private:
  bool draw_targets(RandomStream& random, CurveField& field, Scene& scene) const;
  bool draw_distractor(RandomStream& random, CurveField& field, Curve& curve) const;
  Pixel random_place(RandomStream& random) const;

  SceneStyle style_;
  DashShapes shapes_;
  std::vector<Pixel> ring_;           // the pixels at seed_distance from the origin, rounded
  std::vector<DashShapes::Ink> dot_;  // a dot around the origin
};

}  // namespace zoo
