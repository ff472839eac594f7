// The adding problem: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", experiment 4, with values in [0, 1) as
// in Le et al. 2015 and Arjovsky et al. 2016. adding.md, beside this file, documents it.

#include <string>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::RandomStream;
using zoo::Split;

class Adding final : public zoo::Task {
 public:
  explicit Adding(const zoo::Options& options)
      : seq_len_(options.integer("seq_len")), anywhere_(options.boolean("anywhere")) {}

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    RandomStream random = zoo::example_stream("adding", split, seed, index);
    const auto length = static_cast<std::uint64_t>(seq_len_);
    // The marks are drawn first, so that the values are those of the other placement.
    std::uint64_t first = 0, second = 0;
    if (anywhere_) {
      first = random.below(length);
      second = random.below(length - 1);
      if (second >= first) ++second;
    } else {
      first = random.below(length / 2);
      second = length / 2 + random.below(length - length / 2);
    }
    example.reals.resize(2 * length);
    for (std::uint64_t t = 0; t < length; ++t) {
      // 24 bits: each value is exactly a float, whatever the rounding.
      example.reals[2 * t] = static_cast<float>(random.next_u32() >> 8) * 0x1p-24f;
      example.reals[2 * t + 1] = 0;
    }
    example.reals[2 * first + 1] = example.reals[2 * second + 1] = 1;

    example.labels.assign(length, zoo::unlabelled);
    example.labels.back() = 0;
    example.targets.assign(length, 0);
    example.targets.back() = example.reals[2 * first] + example.reals[2 * second];
  }

  std::int64_t vocab_size() const override { return 0; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::regression, 1}; }
  std::int64_t input_channels() const override { return 2; }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    std::string text = fmt::format("{} pairs (value, mark); marked are:\n", seq_len_);
    for (std::size_t t = 0; t < example.labels.size(); ++t) {
      if (example.reals[2 * t + 1] == 0) continue;
      text += fmt::format("  position {}: {:.6f}\n", t, example.reals[2 * t]);
    }
    text += fmt::format("target at the last position, {}: {:.6f}\n", seq_len_ - 1, example.targets.back());
    return text;
  }

 private:
  std::int64_t seq_len_;
  bool anywhere_;
};

}  // namespace

ZOO_REGISTER_TASK(adding) {
  zoo::OptionSchema options;
  options.integer("seq_len", 200, {2, 1 << 24}, "length T of an example")
      .boolean("anywhere", false, "the two marks stand anywhere, not one in each half");
  return {.name = "adding",
          .description = "the adding problem: the sum of the two values that are marked",
          .paper = "Hochreiter & Schmidhuber 1997, Long Short-Term Memory",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<Adding>(given); },
          .test_cases = {{{"seq_len", 20}}, {{"seq_len", 9}, {"anywhere", true}}}};
}
