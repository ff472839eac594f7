// Sequential CIFAR-10: pictures in colour, one pixel at a time; Chang et al. 2017, "Dilated Recurrent Neural Networks".
// sequential_cifar.md, beside this file, documents it.

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

class SequentialCifar final : public zoo::Task {
 public:
  explicit SequentialCifar(const zoo::Options& options) : files_("sequential_cifar", options.text("data_dir")) {}

  void generate(Split split, std::uint64_t, std::uint64_t index, Example& example) const override {
    check_example_index(*this, split, index);
    std::array<std::uint8_t, 3 * pixels> colours;
    const std::int32_t label = files_.read(split, index, colours);
    example.reals.resize(3 * pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
      for (std::size_t colour = 0; colour < 3; ++colour) {
        example.reals[3 * i + colour] = static_cast<float>(colours[colour * pixels + i]) / 255;
      }
    }
    example.labels.assign(pixels, zoo::unlabelled);
    example.labels.back() = label;
  }

  std::int64_t vocab_size() const override { return 0; }
  std::int64_t seq_len() const override { return CifarFiles::pixels; }
  std::int64_t input_channels() const override { return 3; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len()}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::classes, CifarFiles::classes}; }
  std::optional<std::uint64_t> example_count(Split split) const override { return CifarFiles::count(split); }
  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    std::vector<std::int32_t> grey;
    for (std::size_t i = 0; i < pixels; ++i) {
      const float* colour = &example.reals[3 * i];
      grey.push_back(static_cast<std::int32_t>(255 * (colour[0] + colour[1] + colour[2]) / 3));
    }
    return "three channels, red, green and blue, from 0 to 1; their means:\n" +
           zoo::picture_text(grey, CifarFiles::side) +
           fmt::format("label at the last pixel: {}\n", example.labels.back());
  }

 private:
  CifarFiles files_;
};

}  // namespace

ZOO_REGISTER_TASK(sequential_cifar) {
  zoo::OptionSchema options;
  options.text("data_dir", CifarFiles::default_folder, "folder of CIFAR-10's binary batches");
  return {.name = "sequential_cifar",
          .description = "CIFAR-10 in colour, pixel by pixel (reads the user's files)",
          .paper = "Chang et al. 2017, Dilated Recurrent Neural Networks",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<SequentialCifar>(given); },
          .test_cases = {},
          .needs_files = true};
}
