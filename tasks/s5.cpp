// The word problem of S5: Merrill et al. 2024, "The Illusion of State in State-Space Models", section 5; Liu et al.
// 2023, "Transformers Learn Shortcuts to Automata". s5.md, beside this file, documents it.

#include <algorithm>
#include <string>
#include <vector>

#include "tasks/common/finite_group.h"
#include "tasks/common/octaves.h"
#include "zoo/core/plugin.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::Split;

class WordProblem final : public zoo::Task {
 public:
  explicit WordProblem(const zoo::Options& options)
      : seq_len_(options.integer("seq_len")), name_(options.text("group")), group_(name_) {}

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("s5", split, seed, index);
    const auto length = static_cast<std::size_t>(seq_len_);
    const auto order = static_cast<std::uint64_t>(group_.order());
    example.tokens.resize(length);
    example.labels.resize(length);
    example.groups.resize(length);
    std::int32_t state = 0;
    for (std::size_t t = 0; t < length; ++t) {
      const auto next = static_cast<std::int32_t>(random.below(order));
      state = group_.product(state, next);
      example.tokens[t] = next;
      example.labels[t] = state;
      example.groups[t] = zoo::octave(static_cast<std::int64_t>(t) + 1);
    }
  }

  std::int64_t vocab_size() const override { return group_.order(); }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}}; }
  /// By the number of elements multiplied.
  std::vector<zoo::Slice> groups() const override { return zoo::octave_groups("elements", seq_len_); }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    constexpr std::size_t longest = 64;
    std::string text = fmt::format(
        "{} elements of {}, tokens 0 to {}; the label is the product so far, (product before) * element{}\n", seq_len_,
        name_, group_.order() - 1, name_ == "Z60" ? "" : ", written as the images of 1 to 5");
    for (std::size_t t = 0; t < std::min(longest, example.tokens.size()); ++t) {
      const std::int32_t token = example.tokens[t], label = example.labels[t];
      text += fmt::format("  position {}: token {} = {}, label {} = {}\n", t, token, group_.element(token), label,
                          group_.element(label));
    }
    if (example.tokens.size() > longest) text += fmt::format("  ... {} in all\n", seq_len_);
    return text;
  }

 private:
  std::int64_t seq_len_;
  std::string name_;
  zoo::FiniteGroup group_;
};

}  // namespace

ZOO_REGISTER_TASK(s5) {
  zoo::OptionSchema options;
  options.integer("seq_len", 128, {1, 1 << 24}, "length T of an example: the number of elements")
      .choice("group", "S5", {"S5", "A5", "Z60"}, "the group; A5 and Z60 have 60 elements each, Z60 commutes");
  return {.name = "s5",
          .description = "the word problem of S5: the product of permutations so far",
          .paper = "Merrill et al. 2024, The Illusion of State in State-Space Models",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<WordProblem>(given); },
          .test_cases = {{{"seq_len", 32}}, {{"seq_len", 20}, {"group", "A5"}}, {{"seq_len", 20}, {"group", "Z60"}}}};
}
