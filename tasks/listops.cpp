// ListOps: Nangia & Bowman 2018, "ListOps: A Diagnostic Dataset for Latent Tree Learning", in the long form of Tay et
// al. 2021, "Long Range Arena". listops.md, beside this file, documents the trees, the tokens and the options.

#include <algorithm>
#include <array>
#include <optional>
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

enum Token : std::int32_t { padding = 0, first_digit = 1, min_of = 11, max_of, median_of, sum_of, closing };

constexpr std::size_t most_arguments = 64;
constexpr int trials_at_construction = 10'000;

std::string spelled(std::int32_t token) {
  static const std::array<std::string, 5> others = {"[MIN", "[MAX", "[MED", "[SM", "]"};
  if (token < min_of) return std::to_string(token - first_digit);
  return others[static_cast<std::size_t>(token - min_of)];
}

std::int32_t applied(std::int32_t operation, std::span<std::int32_t> arguments) {
  switch (operation) {
    case min_of:
      return std::ranges::min(arguments);
    case max_of:
      return std::ranges::max(arguments);
    case median_of: {
      std::ranges::sort(arguments);
      const std::size_t middle = arguments.size() / 2;
      return arguments.size() % 2 == 1 ? arguments[middle] : (arguments[middle - 1] + arguments[middle]) / 2;
    }
    default: {
      std::int32_t sum = 0;
      for (const std::int32_t argument : arguments) sum += argument;
      return sum % 10;
    }
  }
}

class ListOps final : public zoo::Task {
 public:
  explicit ListOps(const zoo::Options& options)
      : max_depth_(options.integer("max_depth")),
        max_args_(options.integer("max_args")),
        min_length_(options.integer("min_length")),
        max_length_(options.integer("max_length")) {
    if (max_length_ - min_length_ < 2) {
      throw zoo::UsageError(
          "task listops: no length is greater than min_length {} and less than max_length {}; lower the first or raise "
          "the second",
          min_length_, max_length_);
    }
    std::vector<std::int32_t> tokens;
    RandomStream random(zoo::RandomKey::of(0, "listops/trial"));
    for (int i = 0; i < trials_at_construction; ++i) {
      if (draw_fitting(tokens, random)) return;
    }
    throw zoo::UsageError(
        "task listops: none of {} random trees of max_depth {} and max_args {} has more than {} and less than {} "
        "tokens; widen min_length and max_length, or raise max_depth or max_args for longer trees",
        trials_at_construction, max_depth_, max_args_, min_length_, max_length_);
  }

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    RandomStream random = zoo::example_stream("listops", split, seed, index);
    std::optional<std::int32_t> value;
    while (!value) value = draw_fitting(example.tokens, random);
    const std::size_t last = example.tokens.size() - 1;
    example.tokens.resize(static_cast<std::size_t>(max_length_), padding);
    example.labels.assign(example.tokens.size(), zoo::unlabelled);
    example.labels[last] = *value;
  }

  std::int64_t vocab_size() const override { return closing + 1; }
  std::int64_t seq_len() const override { return max_length_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", max_length_}, {"max_depth", max_depth_}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::classes, 10}; }
  std::string describe(const Example& example) const override;

 private:
  /// A tree whose length is allowed, as tokens, and its value; nothing when the tree drawn is too short or too long.
  std::optional<std::int32_t> draw_fitting(std::vector<std::int32_t>& tokens, RandomStream& random) const {
    tokens.clear();
    const std::optional<std::int32_t> value = draw_node(1, tokens, random);
    return value && std::ssize(tokens) > min_length_ ? value : std::nullopt;
  }

  /// Appends the tokens of a random tree whose root is at `depth` and returns its value; nothing as soon as all tokens
  /// together are too many.
  std::optional<std::int32_t> draw_node(std::int64_t depth, std::vector<std::int32_t>& tokens,
                                        RandomStream& random) const {
    if (std::ssize(tokens) + 1 >= max_length_) return std::nullopt;
    const bool is_operation = depth < max_depth_ && random.below(4) == 0;
    if (!is_operation) {
      const auto digit = static_cast<std::int32_t>(random.below(10));
      tokens.push_back(first_digit + digit);
      return digit;
    }
    const std::int32_t operation = min_of + static_cast<std::int32_t>(random.below(4));
    const auto count = static_cast<std::size_t>(2 + random.below(static_cast<std::uint64_t>(max_args_ - 1)));
    std::array<std::int32_t, most_arguments> arguments;
    tokens.push_back(operation);
    for (std::size_t i = 0; i < count; ++i) {
      const std::optional<std::int32_t> argument = draw_node(depth + 1, tokens, random);
      if (!argument) return std::nullopt;
      arguments[i] = *argument;
    }
    if (std::ssize(tokens) + 1 >= max_length_) return std::nullopt;
    tokens.push_back(closing);
    return applied(operation, std::span(arguments).first(count));
  }

  std::int64_t max_depth_, max_args_, min_length_, max_length_;
};

std::string ListOps::describe(const Example& example) const {
  check_example(*this, example, 0);
  const std::size_t length = static_cast<std::size_t>(
      std::ranges::count_if(example.tokens, [](std::int32_t token) { return token != padding; }));
  std::string text = fmt::format(
      "{} tokens: digits d are d + 1, [MIN {}, [MAX {}, [MED {}, [SM {}, ] {}; {} of padding (0) follow\n ", length,
      int{min_of}, int{max_of}, int{median_of}, int{sum_of}, int{closing}, example.tokens.size() - length);
  std::size_t column = 0;
  for (std::size_t t = 0; t < length; ++t) {
    const std::string word = spelled(example.tokens[t]);
    if (column + word.size() > 110) {
      text += "\n ";
      column = 0;
    }
    text += ' ' + word;
    column += word.size() + 1;
  }
  return text + fmt::format("\nlabel at position {}: {}\n", length - 1, example.labels.at(length - 1));
}

}  // namespace

ZOO_REGISTER_TASK(listops) {
  zoo::OptionSchema options;
  options.integer("max_depth", 10, {2, 64}, "depth at which every node is a digit; the root is at 1")
      .integer("max_args", 10, {2, most_arguments}, "most arguments of an operator; the fewest are 2")
      .integer("min_length", 500, {0, 1 << 16}, "trees have more tokens than this")
      .integer("max_length", 2000, {2, 1 << 16}, "trees have fewer tokens than this, the length T of an example");
  return {.name = "listops",
          .description = "nested lists of digits under MIN, MAX, MED and sum modulo 10: the value of the whole",
          .paper = "Nangia & Bowman 2018, ListOps; Tay et al. 2021, Long Range Arena",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<ListOps>(given); },
          .test_cases = {{{"min_length", 30}, {"max_length", 80}, {"max_depth", 5}, {"max_args", 6}},
                         {{"min_length", 20}, {"max_length", 60}, {"max_depth", 4}}}};
}
