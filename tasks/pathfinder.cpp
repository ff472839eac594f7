// Pathfinder: Linsley et al. 2018, "Learning long-range spatial dependencies with horizontal gated recurrent units",
// with the sizes of Tay et al. 2021, "Long Range Arena". The pictures are our own; pathfinder.md, beside this file,
// documents how they are drawn and shows some.

#include <string>
#include <vector>

#include "tasks/common/pathfinder_scene.h"
#include "tasks/common/picture_text.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::SceneStyle;
using zoo::Split;

/// Memory for the making of one example, kept by each thread.
struct Scratch {
  zoo::CurveField field;
  zoo::Scene scene;
};

Scratch& scratch() {
  static thread_local Scratch memory;
  return memory;
}

SceneStyle style_of(const std::string& size, const std::string& level) {
  SceneStyle style;
  std::int32_t distractor_dashes = 20;
  if (size == "32") {
    style.dash = {.picture_size = 32, .length = 2, .quarter_thickness = 2, .margin = 1, .continuity = 1};
    style.seed_distance = 7;
    style.dot_half_radius = 3;
  } else if (size == "64") {
    style.dash = {.picture_size = 64, .length = 3, .quarter_thickness = 4, .margin = 2, .continuity = 1.4};
    style.seed_distance = 12;
    style.dot_half_radius = 4;
    distractor_dashes = 25;
  } else {
    style.dash = {.picture_size = 128, .length = 5, .quarter_thickness = 6, .margin = 3, .continuity = 1.8};
    style.seed_distance = 20;
    style.dot_half_radius = 6;
    distractor_dashes = 35;
  }
  style.segments = level == "easy" ? 6 : level == "intermediate" ? 9 : 14;
  style.distractor_segments = style.segments / 3;
  style.distractors = distractor_dashes / style.distractor_segments;
  return style;
}

class Pathfinder final : public zoo::Task {
 public:
  explicit Pathfinder(const zoo::Options& options) : painter_(style_of(options.text("size"), options.text("level"))) {}

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("pathfinder", split, seed, index);
    Scratch& memory = scratch();
    painter_.draw(random, memory.field, memory.scene);
    painter_.paint(memory.scene, example.tokens);
    example.labels.assign(example.tokens.size(), zoo::unlabelled);
    example.labels.back() = memory.scene.label();
  }

  std::int64_t vocab_size() const override { return 256; }
  std::int64_t seq_len() const override { return size() * size(); }
  std::vector<zoo::Slice> slices() const override {
    return {{"seq_len", seq_len()}, {"segments", painter_.style().segments}};
  }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::classes, 2}; }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    const std::int32_t label = example.labels.back();
    return zoo::picture_text(example.tokens, size()) + fmt::format("label at the last pixel: {}, the dots are on {}\n",
                                                                   label, label == 1 ? "one curve" : "two curves");
  }

 private:
  std::int64_t size() const { return painter_.style().dash.picture_size; }

  zoo::ScenePainter painter_;
};

}  // namespace

ZOO_REGISTER_TASK(pathfinder) {
  zoo::OptionSchema options;
  options.choice("size", "32", {"32", "64", "128"}, "pixels along a side; T is its square (128: Path-X)")
      .choice("level", "hard", {"easy", "intermediate", "hard"}, "6, 9 or 14 segments in each long curve");
  return {
      .name = "pathfinder",
      .description = "whether two dots in a picture are on the same dashed curve",
      .paper = "Linsley et al. 2018, Learning long-range spatial dependencies with horizontal gated recurrent units",
      .options = options,
      .make = [](const zoo::Options& given) { return std::make_unique<Pathfinder>(given); },
      .test_cases = {{{"level", "easy"}}, {{"size", "64"}, {"level", "easy"}}}};
}
