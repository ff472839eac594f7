#include "tasks/common/pathfinder_scene.h"

#include <algorithm>

namespace zoo {

namespace {

constexpr int places_tried = 100;       // for the first dash of a distractor
constexpr int distractor_retrials = 4;  // of a distractor that could not grow to its length

std::vector<Pixel> ring(std::int32_t radius) {
  std::vector<Pixel> all;
  for (std::int32_t y = -radius - 1; y <= radius + 1; ++y) {
    for (std::int32_t x = -radius - 1; x <= radius + 1; ++x) {
      const std::int32_t distance = 4 * (y * y + x * x);
      const bool near =
          distance > (2 * radius - 1) * (2 * radius - 1) && distance < (2 * radius + 1) * (2 * radius + 1);
      if (near) all.push_back({y, x});
    }
  }
  return all;
}

/// A disc around the origin: the share of each pixel that it covers, counted on 16 x 16 samples.
std::vector<DashShapes::Ink> disc(std::int32_t half_radius) {
  constexpr std::int32_t samples = 16, unit = 2 * samples;
  const std::int32_t extent = half_radius / 2 + 1, radius = half_radius * unit / 2;
  std::vector<DashShapes::Ink> all;
  for (std::int32_t y = -extent; y <= extent; ++y) {
    for (std::int32_t x = -extent; x <= extent; ++x) {
      std::int32_t inside = 0;
      for (std::int32_t i = 0; i < samples * samples; ++i) {
        const std::int32_t at_y = y * unit + 2 * (i / samples) + 1 - samples;
        const std::int32_t at_x = x * unit + 2 * (i % samples) + 1 - samples;
        inside += at_y * at_y + at_x * at_x <= radius * radius ? 1 : 0;
      }
      const std::int32_t light = (255 * inside + samples * samples / 2) / (samples * samples);
      if (light > 0) all.push_back({{y, x}, static_cast<std::uint8_t>(light)});
    }
  }
  return all;
}

}  // namespace

ScenePainter::ScenePainter(const SceneStyle& style)
    : style_(style), shapes_(style.dash), ring_(ring(style.seed_distance)), dot_(disc(style.dot_half_radius)) {}

void ScenePainter::draw(RandomStream& random, CurveField& field, Scene& scene) const {
  scene.curves.resize(static_cast<std::size_t>(2 + style_.distractors));
  do {
    field.clear(shapes_);
  } while (!draw_targets(random, field, scene));
  std::size_t kept = 2;
  for (std::int32_t i = 0; i < style_.distractors; ++i) {
    if (draw_distractor(random, field, scene.curves[kept])) ++kept;
  }
  for (std::size_t i = kept; i < scene.curves.size(); ++i) scene.curves[i].clear();

  // The label is drawn after all else: pictures of both labels differ in the second dot alone.
  const auto first = static_cast<int>(random.below(2)), same = static_cast<int>(random.below(2));
  scene.dotted = {first, same == 1 ? first : 1 - first};
  scene.dots = {shapes_.tail(scene.curves[static_cast<std::size_t>(scene.dotted[0])].front()),
                shapes_.head(scene.curves[static_cast<std::size_t>(scene.dotted[1])].back())};
}

/// Both grow in turn, so that neither has the better of the room.
bool ScenePainter::draw_targets(RandomStream& random, CurveField& field, Scene& scene) const {
  const auto direction = [&] {
    return static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(shapes_.directions())));
  };
  const std::int32_t first = direction(), second = direction();
  const Pixel start = random_place(random), other = start + ring_[random.below(ring_.size())];
  if (!field.begin(scene.curves[0], start, first)) return false;
  if (!field.begin(scene.curves[1], other, second)) return false;
  for (std::int32_t segment = 1; segment < style_.segments; ++segment) {
    for (const std::size_t target : {0, 1}) {
      if (!field.extend(scene.curves[target], random)) return false;
    }
  }
  return true;
}

bool ScenePainter::draw_distractor(RandomStream& random, CurveField& field, Curve& curve) const {
  for (int trial = 0; trial <= distractor_retrials; ++trial) {
    bool begun = false;
    for (int place = 0; place < places_tried && !begun; ++place) {
      const auto direction = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(shapes_.directions())));
      begun = field.begin(curve, random_place(random), direction);
    }
    if (!begun) return false;
    std::int32_t segments = 1;
    while (segments < style_.distractor_segments && field.extend(curve, random)) ++segments;
    if (segments == style_.distractor_segments) return true;
    field.remove(curve);
  }
  return false;
}

Pixel ScenePainter::random_place(RandomStream& random) const {
  const auto size = static_cast<std::uint64_t>(style_.dash.picture_size);
  const auto y = static_cast<std::int32_t>(random.below(size));
  return {y, static_cast<std::int32_t>(random.below(size))};
}

void ScenePainter::paint(const Scene& scene, std::vector<std::int32_t>& pixels) const {
  const std::int32_t size = style_.dash.picture_size;
  pixels.assign(static_cast<std::size_t>(size) * static_cast<std::size_t>(size), 0);
  const auto draw = [&](Pixel origin, const std::vector<DashShapes::Ink>& ink) {
    for (const DashShapes::Ink& lit : ink) {
      const Pixel at = origin + lit.at;
      if (std::min(at.y, at.x) < 0 || std::max(at.y, at.x) >= size) continue;
      std::int32_t& pixel = pixels[static_cast<std::size_t>(at.y * size + at.x)];
      pixel = std::max(pixel, std::int32_t{lit.light});
    }
  };
  for (const Curve& curve : scene.curves) {
    for (const Dash& dash : curve) draw(dash.pivot, shapes_.shape(dash.direction).ink);
  }
  for (const Pixel dot : scene.dots) draw(dot, dot_);
}

}  // namespace zoo
