// Sequential MNIST, and with its pixels permuted: Le et al. 2015, "A Simple Way to Initialize Recurrent Networks of
// Rectified Linear Units". sequential_mnist.md, beside this file, documents it.

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tasks/common/idx_file.h"
#include "tasks/common/picture_text.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::IdxFile;
using zoo::Split;

constexpr std::int64_t side = 28, classes = 10;
constexpr std::size_t pixels = side * side;

/// Pictures and their labels.
struct Pictures {
  IdxFile images, labels;

  Pictures(const zoo::DataSource& source, const std::string& prefix)
      : images(source, prefix + "-images-idx3-ubyte", 3), labels(source, prefix + "-labels-idx1-ubyte", 1) {
    if (images.shape()[0] != side || images.shape()[1] != side) {
      throw zoo::UsageError("task {}: '{}' holds pictures of {} x {}; those of MNIST are 28 x 28; {}", source.task,
                            images.path(), images.shape()[0], images.shape()[1], source.advice());
    }
    if (images.items() != labels.items() || images.items() < 12) {
      throw zoo::UsageError(
          "task {}: '{}' holds {} pictures and '{}' {} labels; there must be as many, and 12 at least; {}", source.task,
          images.path(), images.items(), labels.path(), labels.items(), source.advice());
    }
  }
};

/// Where each pixel of the picture stands in the sequence: always the same permutation.
std::vector<std::size_t> permutation() {
  std::vector<std::size_t> order(pixels);
  std::iota(order.begin(), order.end(), std::size_t{0});
  zoo::RandomStream random(zoo::RandomKey::of(0, "sequential_mnist/permutation"));
  for (std::size_t left = pixels; left > 1; --left) std::swap(order[left - 1], order[random.below(left)]);
  return order;
}

class SequentialMnist final : public zoo::Task {
 public:
  explicit SequentialMnist(const zoo::Options& options)
      : SequentialMnist({"sequential_mnist", options.text("data_dir"),
                         "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
                         "t10k-labels-idx1-ubyte",
                         "https://ossci-datasets.s3.amazonaws.com/mnist"},
                        options.boolean("permuted")) {}

  void generate(Split split, std::uint64_t, std::uint64_t index, Example& example) const override {
    check_example_index(*this, split, index);
    const Pictures& pictures = split == Split::test ? test_ : train_;
    const std::uint64_t item = index + (split == Split::validation ? *example_count(Split::train) : 0);
    std::array<std::uint8_t, pixels> image;
    std::array<std::uint8_t, 1> label;
    pictures.images.read(item, image);
    pictures.labels.read(item, label);
    if (label[0] >= classes) {
      throw zoo::Error("task sequential_mnist: item {} of '{}' is the label {}; there are 0 to 9", item,
                       pictures.labels.path(), label[0]);
    }
    example.reals.resize(pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
      example.reals[i] = static_cast<float>(image[order_.empty() ? i : order_[i]]) / 255;
    }
    example.labels.assign(pixels, zoo::unlabelled);
    example.labels.back() = label[0];
  }

  std::int64_t vocab_size() const override { return 0; }
  std::int64_t seq_len() const override { return pixels; }
  std::int64_t input_channels() const override { return 1; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len()}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::classes, classes}; }
  /// The last twelfth of the training pictures is for validation: 5,000 of MNIST's 60,000.
  std::optional<std::uint64_t> example_count(Split split) const override {
    const std::uint64_t all = train_.images.items(), validation = all / 12;
    return split == Split::train ? all - validation : split == Split::validation ? validation : test_.images.items();
  }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    std::vector<std::int32_t> picture(pixels);
    for (std::size_t i = 0; i < pixels; ++i) {
      picture[order_.empty() ? i : order_[i]] = static_cast<std::int32_t>(255 * example.reals[i]);
    }
    return fmt::format("one channel from 0 to 1{}:\n", order_.empty() ? "" : ", here in the order before permutation") +
           zoo::picture_text(picture, side) + fmt::format("label at the last pixel: {}\n", example.labels.back());
  }

 private:
  SequentialMnist(const zoo::DataSource& source, bool permuted)
      : train_(source, "train"), test_(source, "t10k"), order_(permuted ? permutation() : std::vector<std::size_t>{}) {}

  Pictures train_, test_;
  std::vector<std::size_t> order_;
};

}  // namespace

ZOO_REGISTER_TASK(sequential_mnist) {
  zoo::OptionSchema options;
  options.text("data_dir", "data/mnist", "folder of MNIST's four IDX files")
      .boolean("permuted", false, "pixels in an order that was drawn once for all pictures");
  return {.name = "sequential_mnist",
          .description = "MNIST, pixel by pixel (reads the user's files)",
          .paper = "Le et al. 2015, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<SequentialMnist>(given); },
          .test_cases = {},
          .needs_files = true};
}
