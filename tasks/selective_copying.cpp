// Selective copying, in two forms: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (MAD),
// section 3.1, and Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", section 4.1.1.
// selective_copying.md, beside this file, documents both layouts.

#include <algorithm>
#include <string>
#include <vector>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/token_grid.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;
using zoo::RandomStream;

struct Scratch {
  std::vector<std::int32_t> blanks;  // by data token, how many blanks stand before it
  zoo::tasks::TokenSet taken;        // positions; empty between examples
  std::vector<std::int32_t> places;
};

class SelectiveCopying final : public zoo::Task {
 public:
  explicit SelectiveCopying(const zoo::Options& options)
      : mamba_(options.text("form") == "mamba"),
        vocab_size_(options.integer("vocab_size")),
        given_length_(options.integer("seq_len")),
        copied_(options.integer("num_tokens_to_copy")) {
    if (given_length_ == 0) given_length_ = mamba_ ? 4096 : 256;
    check_length();
  }

  void generate(zoo::Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    static thread_local Scratch memory;
    RandomStream random =
        zoo::example_stream(mamba_ ? "selective_copying/mamba" : "selective_copying", split, seed, index);
    const auto length = static_cast<std::size_t>(seq_len());
    example.tokens.assign(length, blank());
    example.labels.assign(length, zoo::unlabelled);
    mamba_ ? scatter_data(random, memory, example) : spread_data(random, memory, example);
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return given_length_ + (mamba_ ? copied_ : 0); }
  std::vector<zoo::Slice> slices() const override {
    return {{"seq_len", given_length_}, {"vocab_size", vocab_size_}, {"num_tokens_to_copy", copied_}};
  }
  std::string describe(const Example& example) const override;

 private:
  std::int32_t blank() const { return mamba_ ? 0 : static_cast<std::int32_t>(vocab_size_ - 2); }
  std::int32_t marker() const { return static_cast<std::int32_t>(vocab_size_ - 1); }
  std::int32_t first_data() const { return mamba_ ? 1 : 0; }
  std::int64_t data_tokens() const { return vocab_size_ - 2; }
  void check_length() const;

  std::int32_t draw_data(RandomStream& random) const {
    return zoo::tasks::draw_token(first_data(), first_data() + data_tokens(), random);
  }

  /// MAD: each blank stands before one of the data tokens, drawn independently.
  void spread_data(RandomStream& random, Scratch& memory, Example& example) const {
    const auto copied = static_cast<std::size_t>(copied_);
    const std::size_t answers = example.tokens.size() - copied;
    memory.blanks.assign(copied, 0);
    for (std::size_t i = 2 * copied + 1; i < example.tokens.size(); ++i) ++memory.blanks[random.below(copied)];
    std::size_t position = 0;
    for (std::size_t i = 0; i < copied; ++i) {
      position += static_cast<std::size_t>(memory.blanks[i]);
      example.labels[answers + i] = example.tokens[position++] = draw_data(random);
    }
    example.tokens[position] = marker();
  }

  /// Mamba: data tokens at different uniform places, then as many markers.
  void scatter_data(RandomStream& random, Scratch& memory, Example& example) const {
    memory.taken.reserve(given_length_);
    zoo::tasks::draw_distinct(copied_, 0, given_length_, random, memory.taken, memory.places);
    memory.taken.erase(memory.places);
    std::ranges::sort(memory.places);
    auto answer = static_cast<std::size_t>(given_length_);
    for (const std::int32_t place : memory.places) {
      example.tokens[answer] = marker();
      example.labels[answer++] = example.tokens[static_cast<std::size_t>(place)] = draw_data(random);
    }
  }

  bool mamba_;
  std::int64_t vocab_size_, given_length_, copied_;
};

void SelectiveCopying::check_length() const {
  const std::int64_t needed = mamba_ ? copied_ : 2 * copied_ + 1;
  if (given_length_ >= needed) return;
  throw zoo::UsageError(
      "task selective_copying: seq_len {} is too short for num_tokens_to_copy {}: {}; raise seq_len to {} or lower "
      "num_tokens_to_copy to {}",
      given_length_, copied_,
      mamba_ ? "each takes a position"
             : "each takes a position where it is shown and one where it is asked, and the copy token takes one",
      needed, std::max<std::int64_t>(1, mamba_ ? given_length_ : (given_length_ - 1) / 2));
}

std::string SelectiveCopying::describe(const Example& example) const {
  return fmt::format("{} tokens: data are {} to {}, _ is blank, > {}; the data are asked for in order at the end\n",
                     seq_len(), first_data(), first_data() + data_tokens() - 1,
                     mamba_ ? "a marker" : "says that copies follow") +
         zoo::tasks::token_grid("selective_copying", example, seq_len(), [&](std::int32_t token) {
           return token == blank() ? "_" : token == marker() ? ">" : std::to_string(token);
         });
}

}  // namespace

ZOO_REGISTER_TASK(selective_copying) {
  zoo::OptionSchema options;
  options.choice("form", "mad", {"mad", "mamba"}, "the layout: of MAD, or of Mamba's paper")
      .integer("vocab_size", 16, {4, 1 << 24}, "tokens; all but the blank and the marker are data")
      .integer("seq_len", 0, {0, 1 << 24},
               "mad: length T of an example; mamba: positions before the markers; 0: as published, 256 and 4096")
      .integer("num_tokens_to_copy", 16, {1, 1 << 20}, "data tokens, each asked for once");
  return {.name = "selective_copying",
          .description = "repeat the data tokens in order, without the blanks between them",
          .paper =
              "Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures; Gu and Dao 2023, Mamba: "
              "Linear-Time Sequence Modeling with Selective State Spaces",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<SelectiveCopying>(given); },
          .test_cases = {nlohmann::json::object(),
                         {{"vocab_size", 33}, {"seq_len", 25}, {"num_tokens_to_copy", 12}},
                         {{"form", "mamba"}, {"vocab_size", 10}, {"seq_len", 48}, {"num_tokens_to_copy", 8}}}};
}
