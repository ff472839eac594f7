// Induction heads: Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", section 4.1.2,
// after Olsson et al. 2022, "In-context Learning and Induction Heads". induction_heads.md, beside this file, documents
// the layout.

#include <bit>
#include <string>
#include <vector>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/token_grid.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;

class InductionHeads final : public zoo::Task {
 public:
  explicit InductionHeads(const zoo::Options& options)
      : vocab_size_(options.integer("vocab_size")), seq_len_(options.integer("seq_len")) {}

  void generate(zoo::Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("induction_heads", split, seed, index);
    const auto length = static_cast<std::size_t>(seq_len_);
    example.tokens.resize(length);
    example.labels.assign(length, zoo::unlabelled);
    example.groups.assign(length, 0);
    // The trigger has an ordinary token behind it before it comes again.
    const std::size_t place = random.below(length - 2);
    for (std::int32_t& token : example.tokens) token = zoo::tasks::draw_token(0, trigger(), random);
    example.tokens[place] = example.tokens.back() = trigger();
    example.labels.back() = example.tokens[place + 1];
    example.groups.back() = group(length - 1 - place);
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}, {"vocab_size", vocab_size_}}; }
  /// Distances 2 to 3, 4 to 7, ..., by the smallest.
  std::vector<zoo::Slice> groups() const override {
    std::vector<zoo::Slice> groups;
    for (std::int64_t distance = 2; distance < seq_len_; distance *= 2) groups.push_back({"distance_from", distance});
    return groups;
  }
  std::string describe(const Example& example) const override;

 private:
  std::int32_t trigger() const { return static_cast<std::int32_t>(vocab_size_ - 1); }
  static std::int32_t group(std::size_t distance) { return static_cast<std::int32_t>(std::bit_width(distance)) - 2; }

  std::int64_t vocab_size_, seq_len_;
};

std::string InductionHeads::describe(const Example& example) const {
  std::string text = fmt::format("{} tokens: ordinary ones are 0 to {}, T is the trigger\n", seq_len_, vocab_size_ - 2);
  text += zoo::tasks::token_grid("induction_heads", example, seq_len_,
                                 [&](std::int32_t token) { return token == trigger() ? "T" : std::to_string(token); });
  const auto place = std::ranges::find(example.tokens, trigger()) - example.tokens.begin();
  return text + fmt::format("the trigger stands at {}, followed by the answer {}; it comes again {} positions later\n",
                            place, example.labels.back(), seq_len_ - 1 - place);
}

}  // namespace

ZOO_REGISTER_TASK(induction_heads) {
  zoo::OptionSchema options;
  options.integer("vocab_size", 16, {3, 1 << 24}, "tokens; the last is the trigger")
      .integer("seq_len", 256, {3, 1 << 24}, "length T of an example, the trigger at the end included");
  return {.name = "induction_heads",
          .description = "a trigger comes twice: name the token that followed it the first time",
          .paper = "Gu and Dao 2023, Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<InductionHeads>(given); },
          .test_cases = {nlohmann::json::object(), {{"vocab_size", 9}, {"seq_len", 24}}}};
}
