// Memorization: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (MAD), section 3.1.
// memorization.md, beside this file, documents the map, the layout and the options.

#include <numeric>
#include <string>
#include <vector>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/token_grid.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;

/// The values of keys 0, 1, ...: a uniform choice without replacement of the tokens [keys, vocab_size - 1), which are
/// as many as the keys or one more.
std::vector<std::int32_t> draw_map(std::int64_t vocab_size, std::int64_t map_seed) {
  const auto keys = static_cast<std::size_t>((vocab_size - 1) / 2);
  std::vector<std::int32_t> values(static_cast<std::size_t>(vocab_size - 1) - keys);
  std::iota(values.begin(), values.end(), static_cast<std::int32_t>(keys));
  zoo::RandomStream random(zoo::RandomKey::of(static_cast<std::uint64_t>(map_seed), "memorization/map"));
  zoo::tasks::shuffle(values, random);
  values.resize(keys);
  return values;
}

class Memorization final : public zoo::Task {
 public:
  explicit Memorization(const zoo::Options& options)
      : vocab_size_(options.integer("vocab_size")),
        seq_len_(options.integer("seq_len")),
        value_of_(draw_map(vocab_size_, options.integer("kv_map_seed"))) {
    if (seq_len_ % 2 != 0) {
      throw zoo::UsageError(
          "task memorization: seq_len {} is odd; it must be even, two tokens for each question, for example {}",
          seq_len_, seq_len_ + 1);
    }
  }

  void generate(zoo::Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("memorization", split, seed, index);
    const auto length = static_cast<std::size_t>(seq_len_);
    example.tokens.resize(length);
    example.labels.assign(length, zoo::unlabelled);
    for (std::size_t t = 0; t < length; t += 2) {
      const std::size_t key = random.below(value_of_.size());
      example.tokens[t] = static_cast<std::int32_t>(key);
      example.tokens[t + 1] = insert_token();
      example.labels[t + 1] = value_of_[key];
    }
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}, {"vocab_size", vocab_size_}}; }
  std::string describe(const Example& example) const override {
    return fmt::format(
               "{} tokens: keys are k0 to k{}; at each ? the key's value in a map that never changes is asked\n",
               seq_len_, value_of_.size() - 1) +
           zoo::tasks::token_grid("memorization", example, seq_len_, [&](std::int32_t token) {
             return token == insert_token() ? "?"
                                            : fmt::format("{}{}", token < std::ssize(value_of_) ? "k" : "v", token);
           });
  }

 private:
  std::int32_t insert_token() const { return static_cast<std::int32_t>(vocab_size_ - 1); }

  std::int64_t vocab_size_, seq_len_;
  std::vector<std::int32_t> value_of_;  // by key
};

}  // namespace

ZOO_REGISTER_TASK(memorization) {
  zoo::OptionSchema options;
  options
      .integer("vocab_size", 256, {5, 1 << 24},
               "tokens; the last asks, of the others the first half (rounded down) are keys, the rest values")
      .integer("seq_len", 32, {2, 1 << 24}, "length T of an example, even: a key and a question each")
      .integer("kv_map_seed", 12345, {0, 0x7FFFFFFF}, "seed of the map of keys to values, the same for all examples");
  return {.name = "memorization",
          .description = "name the value of a key in a map that is never shown and never changes",
          .paper = "Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<Memorization>(given); },
          .test_cases = {nlohmann::json::object(), {{"vocab_size", 513}, {"seq_len", 12}, {"kv_map_seed", 3}}}};
}
