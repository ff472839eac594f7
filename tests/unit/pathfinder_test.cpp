// pathfinder: the scenes behind the pictures, and that the pictures tell the label by nothing but the curves.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <set>

#include "tasks/common/pathfinder_scene.h"
#include "zoo/core/error.h"
#include "zoo/core/task.h"

namespace zoo {
namespace {

struct Published {
  std::string size, level;
  SceneStyle style;
};

// The numbers of the published generator for 32 x 32 and 128 x 128, and ours between.
std::vector<Published> published() {
  const DashStyle small{.picture_size = 32, .length = 2, .quarter_thickness = 2, .margin = 1, .continuity = 1};
  const DashStyle middle{.picture_size = 64, .length = 3, .quarter_thickness = 4, .margin = 2, .continuity = 1.4};
  const DashStyle large{.picture_size = 128, .length = 5, .quarter_thickness = 6, .margin = 3, .continuity = 1.8};
  return {{"32", "easy", {small, 6, 10, 2, 7, 3}},   {"32", "intermediate", {small, 9, 6, 3, 7, 3}},
          {"32", "hard", {small, 14, 5, 4, 7, 3}},   {"64", "hard", {middle, 14, 6, 4, 12, 4}},
          {"128", "easy", {large, 6, 17, 2, 20, 6}}, {"128", "hard", {large, 14, 8, 4, 20, 6}}};
}

double distance(Pixel a, Pixel b) {
  return std::hypot(a.y - b.y, a.x - b.x);
}

// Drawn again from the example's own random numbers.
Scene scene_of(const ScenePainter& painter, std::uint64_t index) {
  RandomStream random = example_stream("pathfinder", Split::train, 0, index);
  CurveField field;
  Scene scene;
  painter.draw(random, field, scene);
  return scene;
}

TEST(Pathfinder, APictureShowsItsScene) {
  for (const Published& one : published()) {
    SCOPED_TRACE(one.size + " " + one.level);
    const auto task = make_task("pathfinder", {{"size", one.size}, {"level", one.level}});
    const ScenePainter painter(one.style);
    EXPECT_EQ(task->seq_len(), one.style.dash.picture_size * one.style.dash.picture_size);
    Example example;
    std::vector<std::int32_t> pixels;
    for (std::uint64_t index = 0; index < 10; ++index) {
      task->generate(Split::train, 0, index, example);
      check_example(*task, example, index);
      const Scene scene = scene_of(painter, index);
      painter.paint(scene, pixels);
      ASSERT_EQ(example.tokens, pixels);
      ASSERT_EQ(example.labels.back(), scene.label());
      ASSERT_EQ(std::ranges::count(example.labels, unlabelled), std::ssize(example.labels) - 1);
      for (const Pixel dot : scene.dots) {
        EXPECT_EQ(pixels[static_cast<std::size_t>(dot.y * one.style.dash.picture_size + dot.x)], 255);
      }
    }
  }
}

// The label is 1 exactly when the dots are on one curve: the first is at the start of a target, the second at the end
// of one, and no other end of a curve is as near.
TEST(Pathfinder, TheLabelSaysWhetherBothDotsAreOnOneCurve) {
  for (const Published& one : published()) {
    SCOPED_TRACE(one.size + " " + one.level);
    const ScenePainter painter(one.style);
    const DashShapes& shapes = painter.shapes();
    int same = 0;
    for (std::uint64_t index = 0; index < 100; ++index) {
      const Scene scene = scene_of(painter, index);
      std::vector<std::size_t> on[2];
      for (std::size_t curve = 0; curve < scene.curves.size(); ++curve) {
        if (scene.curves[curve].empty()) continue;
        const Pixel ends[] = {shapes.tail(scene.curves[curve].front()), shapes.head(scene.curves[curve].back())};
        for (int dot = 0; dot < 2; ++dot) {
          for (const Pixel end : ends) {
            if (end == scene.dots[static_cast<std::size_t>(dot)]) on[dot].push_back(curve);
          }
        }
      }
      ASSERT_EQ(on[0].size(), 1u);
      ASSERT_EQ(on[1].size(), 1u);
      ASSERT_LT(std::max(on[0][0], on[1][0]), 2u) << "dots are on targets";
      ASSERT_EQ(scene.label(), on[0] == on[1] ? 1 : 0);
      same += scene.label();
    }
    EXPECT_NEAR(same, 50, 5 * 5.0) << "five standard deviations of 100 fair draws";
  }
}

TEST(Pathfinder, CurvesAreAsTheSettingsSay) {
  for (const Published& one : published()) {
    SCOPED_TRACE(one.size + " " + one.level);
    const ScenePainter painter(one.style);
    const DashShapes& shapes = painter.shapes();
    const DashStyle& dash = one.style.dash;
    std::size_t most = 0;
    for (std::uint64_t index = 0; index < 30; ++index) {
      const Scene scene = scene_of(painter, index);
      ASSERT_EQ(std::ssize(scene.curves), 2 + one.style.distractors);
      // The starts are seed_distance apart, to a pixel.
      EXPECT_NEAR(distance(shapes.tail(scene.curves[0][0]), shapes.tail(scene.curves[1][0])), one.style.seed_distance,
                  0.5);
      std::size_t drawn = 0;
      for (std::size_t curve = 0; curve < scene.curves.size(); ++curve) {
        const Curve& dashes = scene.curves[curve];
        if (curve >= 2 && dashes.empty()) continue;
        ++drawn;
        ASSERT_EQ(std::ssize(dashes), curve < 2 ? one.style.segments : one.style.distractor_segments);
        for (std::size_t i = 0; i < dashes.size(); ++i) {
          // A dash is as long as it should be, and a gap twice the margin, to the rounding of both ends.
          EXPECT_NEAR(distance(shapes.tail(dashes[i]), shapes.head(dashes[i])), dash.length, std::sqrt(0.5) + 0.5);
          if (i == 0) continue;
          EXPECT_LE(distance(shapes.head(dashes[i - 1]), shapes.tail(dashes[i])), 2 * dash.margin + 2 * std::sqrt(0.5));
          const Pixel last = shapes.shape(dashes[i - 1].direction).head, next = shapes.shape(dashes[i].direction).head;
          const double cosine =
              (last.y * next.y + last.x * next.x) / (std::hypot(last.y, last.x) * std::hypot(next.y, next.x));
          EXPECT_LT(dash.continuity * std::acos(std::min(cosine, 1.0)), std::numbers::pi / 2) << "no turn is sharper";
        }
      }
      most = std::max(most, drawn);
    }
    EXPECT_GT(most, static_cast<std::size_t>(2 + one.style.distractors / 2)) << "distractors fit in some pictures";
  }
}

// Inked pixels of dashes that do not follow each other in a curve are more than the margin apart, and none is at the
// edge: what a dash reaches is its ink and the margin around it.
TEST(Pathfinder, DashesKeepTheirDistance) {
  for (const Published& one : published()) {
    SCOPED_TRACE(one.size + " " + one.level);
    const ScenePainter painter(one.style);
    struct Lit {
      Pixel at;
      std::size_t curve, number;
    };
    for (std::uint64_t index = 0; index < 5; ++index) {
      const Scene scene = scene_of(painter, index);
      std::vector<Lit> ink;
      for (std::size_t curve = 0; curve < scene.curves.size(); ++curve) {
        for (std::size_t i = 0; i < scene.curves[curve].size(); ++i) {
          const Dash& dash = scene.curves[curve][i];
          for (const auto& lit : painter.shapes().shape(dash.direction).ink) {
            ink.push_back({dash.pivot + lit.at, curve, i});
          }
        }
      }
      for (std::size_t a = 0; a < ink.size(); ++a) {
        ASSERT_GT(std::min(ink[a].at.y, ink[a].at.x), one.style.dash.margin);
        ASSERT_LT(std::max(ink[a].at.y, ink[a].at.x), one.style.dash.picture_size - 1 - one.style.dash.margin);
        for (std::size_t b = 0; b < a; ++b) {
          if (ink[a].curve == ink[b].curve && ink[a].number <= ink[b].number + 1) continue;
          ASSERT_GT(distance(ink[a].at, ink[b].at), one.style.dash.margin);
        }
      }
    }
  }
}

// The light of a dash is its area: each direction's shares sum to length x thickness. A share is counted on 256
// samples, so a pixel that the dash's outline crosses may be off by that outline's samples; 6% of the whole is the
// worst here.
TEST(Pathfinder, ADashHasTheLightOfItsArea) {
  for (const Published& one : published()) {
    const DashShapes shapes(one.style.dash);
    for (std::int32_t direction = 0; direction < shapes.directions(); ++direction) {
      double light = 0;
      for (const auto& ink : shapes.shape(direction).ink) light += ink.light / 255.0;
      const double area = one.style.dash.length * one.style.dash.quarter_thickness / 4.0;
      EXPECT_NEAR(light, area, 0.06 * area) << direction;
    }
  }
}

TEST(Pathfinder, TurnsAreWeightedByTheirCosine) {
  const DashShapes shapes(published()[0].style.dash);
  const auto direction = [&](Pixel head) {
    for (std::int32_t i = 0; i < shapes.directions(); ++i) {
      if (shapes.shape(i).head == head) return i;
    }
    ADD_FAILURE() << "no dash to " << head.y << ", " << head.x;
    return 0;
  };
  const auto weight = [&](Pixel last, Pixel next) {
    return shapes.turn_weights(direction(last))[static_cast<std::size_t>(direction(next))] * 0x1p-30;
  };
  EXPECT_EQ(weight({0, 3}, {0, 3}), 1);
  EXPECT_EQ(weight({0, 3}, {3, 0}), 0);
  EXPECT_EQ(weight({0, 3}, {0, -3}), 0);
  EXPECT_NEAR(weight({0, 3}, {2, 2}), 0.5, 1e-9);
  EXPECT_NEAR(weight({2, 2}, {2, -2}), 0, 1e-9);
  EXPECT_NEAR(weight({0, 3}, {1, 3}), 0.9, 1e-9) << "cos^2 of atan(1/3)";
  const DashShapes sharper(published()[5].style.dash);
  // 45 degrees times 1.8 are 81.
  std::int32_t right = -1, down_right = -1;
  for (std::int32_t i = 0; i < sharper.directions(); ++i) {
    const Pixel head = sharper.shape(i).head;
    if (head == Pixel{0, 8}) right = i;
    if (head == Pixel{6, 6}) down_right = i;
  }
  ASSERT_TRUE(right >= 0 && down_right >= 0);
  EXPECT_NEAR(sharper.turn_weights(right)[static_cast<std::size_t>(down_right)] * 0x1p-30,
              std::pow(std::cos(81 * std::numbers::pi / 180), 2), 1e-9);
}

// Neither the number of lit pixels nor all light together tells the label: the means of both labels differ by no more
// than five standard errors.
TEST(Pathfinder, TheAmountOfLightDoesNotTellTheLabel) {
  constexpr int count = 4000;
  const auto task = make_task("pathfinder", {{"level", "easy"}});
  struct Sums {
    double count = 0, sum = 0, square = 0;
    void add(double value) { ++count, sum += value, square += value * value; }
    double mean() const { return sum / count; }
    double variance_of_mean() const { return (square / count - mean() * mean()) / count; }
  };
  Sums lit[2], light[2];
  Example example;
  for (std::uint64_t index = 0; index < count; ++index) {
    task->generate(Split::train, 0, index, example);
    const auto label = static_cast<std::size_t>(example.labels.back());
    lit[label].add(static_cast<double>(std::ranges::count_if(example.tokens, [](int pixel) { return pixel > 0; })));
    light[label].add(std::accumulate(example.tokens.begin(), example.tokens.end(), 0.0));
  }
  EXPECT_NEAR(lit[1].count, count / 2.0, 5 * std::sqrt(count / 4.0));
  for (const Sums* sums : {lit, light}) {
    EXPECT_NEAR(sums[0].mean(), sums[1].mean(), 5 * std::sqrt(sums[0].variance_of_mean() + sums[1].variance_of_mean()));
  }
}

}  // namespace
}  // namespace zoo
