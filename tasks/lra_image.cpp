// LRA Image: pictures of CIFAR-10 in grey as sequences of pixels; Tay et al. 2021, "Long Range Arena". lra_image.md,
// beside this file, documents it.

#include <array>
#include <string>
#include <vector>

#include "tasks/common/cifar_files.h"
#include "tasks/common/picture_text.h"
#include "zoo/core/plugin.h"
#include "zoo/core/task.h"

namespace {

using zoo::CifarFiles;
using zoo::Example;
using zoo::Split;

constexpr std::size_t pixels = CifarFiles::pixels;

/// Luma in thousandths, truncated: white stays 255.
std::int32_t grey(int red, int green, int blue) {
  return (299 * red + 587 * green + 114 * blue) / 1000;
}

class LraImage final : public zoo::Task {
 public:
  explicit LraImage(const zoo::Options& options) : files_("lra_image", options.text("data_dir")) {}

  void generate(Split split, std::uint64_t, std::uint64_t index, Example& example) const override {
    check_example_index(*this, split, index);
    std::array<std::uint8_t, 3 * pixels> colours;
    const std::int32_t label = files_.read(split, index, colours);
    example.tokens.resize(pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
      example.tokens[i] = grey(colours[i], colours[pixels + i], colours[2 * pixels + i]);
    }
    example.labels.assign(pixels, zoo::unlabelled);
    example.labels.back() = label;
  }

  std::int64_t vocab_size() const override { return 256; }
  std::int64_t seq_len() const override { return CifarFiles::pixels; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len()}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::classes, CifarFiles::classes}; }
  std::optional<std::uint64_t> example_count(Split split) const override { return CifarFiles::count(split); }
  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    return zoo::picture_text(example.tokens, CifarFiles::side) +
           fmt::format("label at the last pixel: {}\n", example.labels.back());
  }

 private:
  CifarFiles files_;
};

}  // namespace

ZOO_REGISTER_TASK(lra_image) {
  zoo::OptionSchema options;
  options.text("data_dir", CifarFiles::default_folder, "folder of CIFAR-10's binary batches");
  return {.name = "lra_image",
          .description = "CIFAR-10 in grey, pixel by pixel (reads the user's files)",
          .paper = "Tay et al. 2021, Long Range Arena: A Benchmark for Efficient Transformers",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<LraImage>(given); },
          .test_cases = {},
          .needs_files = true};
}
