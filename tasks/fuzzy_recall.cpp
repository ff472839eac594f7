// Fuzzy in-context recall: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (MAD), section
// 3.1. fuzzy_recall.md, beside this file, documents the layout, the labels, and where ours differs from the public
// generator.

#include <algorithm>
#include <string>
#include <vector>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/pair_sequence.h"
#include "tasks/common/token_grid.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;
using zoo::RandomStream;
using zoo::Split;
using zoo::tasks::TokenSet;

/// An ordered tuple of different tokens.
using Motif = std::vector<std::int32_t>;

/// The pairs of one example so far: its tokens, which of them are values of repeated keys, and where the value of each
/// key stands. Kept by each thread, as memory.
class MotifPairs {
 public:
  void clear(std::int64_t keys) {
    tokens_.clear();
    repeated_.clear();
    bound_.clear();
    latest_.assign(static_cast<std::size_t>(keys), none);
  }
  std::int64_t length() const { return std::ssize(tokens_); }
  const std::vector<std::int32_t>& tokens() const { return tokens_; }
  /// Whether the token there is of a value whose key was shown before.
  bool is_repeated(std::size_t position) const { return repeated_[position]; }

  /// Replaces `value` by that which `key` has, if it has one.
  bool find(const Motif& key, Motif& value) const {
    for (std::int32_t at = latest_[first(key)]; at != none; at = bound_[static_cast<std::size_t>(at)].previous) {
      const Bound& pair = bound_[static_cast<std::size_t>(at)];
      const auto begin = tokens_.begin() + pair.key;
      if (!std::equal(key.begin(), key.end(), begin, tokens_.begin() + pair.value)) continue;
      value.assign(tokens_.begin() + pair.value, tokens_.begin() + pair.end);
      return true;
    }
    return false;
  }
  void append(const Motif& key, const Motif& value, bool is_repeat) {
    const std::int64_t begin = length(), middle = begin + std::ssize(key), end = middle + std::ssize(value);
    tokens_.insert(tokens_.end(), key.begin(), key.end());
    tokens_.insert(tokens_.end(), value.begin(), value.end());
    repeated_.resize(static_cast<std::size_t>(middle), false);
    repeated_.resize(static_cast<std::size_t>(end), is_repeat);
    if (is_repeat) return;
    bound_.push_back({begin, middle, end, latest_[first(key)]});
    latest_[first(key)] = static_cast<std::int32_t>(bound_.size() - 1);
  }

 private:
  static constexpr std::int32_t none = -1;
  struct Bound {
    std::int64_t key, value, end;  // where they begin in tokens_
    std::int32_t previous;         // the bound pair before whose key begins with the same token
  };
  static std::size_t first(const Motif& key) { return static_cast<std::size_t>(key.front()); }

  std::vector<std::int32_t> tokens_;
  std::vector<char> repeated_;
  std::vector<Bound> bound_;
  std::vector<std::int32_t> latest_;  // by the first token of the key, the last bound pair
};

struct Scratch {
  TokenSet taken;  // empty between motifs
  MotifPairs pairs;
  Motif key, value, probe_key, probe_value;
};

class FuzzyRecall final : public zoo::Task {
 public:
  explicit FuzzyRecall(const zoo::Options& options)
      : vocab_size_(options.integer("vocab_size")),
        seq_len_(options.integer("seq_len")),
        k_motif_size_(options.integer("k_motif_size")),
        v_motif_size_(options.integer("v_motif_size")),
        probe_may_be_missing_(options.boolean("probe_may_be_missing")) {
    check_settings();
  }

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    static thread_local Scratch memory;
    memory.taken.reserve(vocab_size_);
    memory.pairs.clear(first_value());
    RandomStream random = zoo::example_stream("fuzzy_recall", split, seed, index);
    draw_pairs(split, random, memory);

    // The sequence is padded at the left to T + 1 tokens, of which the last is a label only.
    const std::vector<std::int32_t>& drawn = memory.pairs.tokens();
    const auto length = static_cast<std::size_t>(seq_len_);
    const std::size_t padding = length + 1 - drawn.size();
    example.tokens.assign(length, padding_token());
    std::copy(drawn.begin(), drawn.end() - 1, example.tokens.begin() + static_cast<std::ptrdiff_t>(padding));
    example.labels.assign(length, zoo::unlabelled);
    if (split == Split::train) {
      zoo::tasks::label_next_tokens(drawn.back(), example);
      return;
    }
    for (std::size_t at = 0; at < drawn.size(); ++at) {
      if (memory.pairs.is_repeated(at)) example.labels[padding + at - 1] = drawn[at];
    }
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override {
    return {{"seq_len", seq_len_},
            {"vocab_size", vocab_size_},
            {"k_motif_size", k_motif_size_},
            {"v_motif_size", v_motif_size_}};
  }
  std::string describe(const Example& example) const override;

 private:
  std::int32_t padding_token() const { return static_cast<std::int32_t>(vocab_size_ - 1); }
  std::int64_t first_value() const { return (vocab_size_ - 1) / 2; }
  void check_settings() const;
  void draw_pairs(Split split, RandomStream& random, Scratch& memory) const;

  /// A uniform motif of `size` tokens of [begin, end).
  static void draw_motif(std::int64_t size, std::int64_t begin, std::int64_t end, RandomStream& random, TokenSet& taken,
                         Motif& motif) {
    zoo::tasks::draw_distinct(size, begin, end, random, taken, motif);
    taken.erase(motif);
  }
  /// A key of uniform length in train, of the greatest elsewhere; a value of uniform length.
  void draw_pair(Split split, RandomStream& random, TokenSet& taken, Motif& key, Motif& value) const {
    const std::int64_t key_size = split == Split::train ? draw_size(k_motif_size_, random) : k_motif_size_;
    const std::int64_t value_size = draw_size(v_motif_size_, random);
    draw_motif(key_size, 0, first_value(), random, taken, key);
    draw_motif(value_size, first_value(), vocab_size_ - 1, random, taken, value);
  }
  static std::int64_t draw_size(std::int64_t greatest, RandomStream& random) {
    return 1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(greatest)));
  }

  std::int64_t vocab_size_, seq_len_, k_motif_size_, v_motif_size_;
  bool probe_may_be_missing_;
};

void FuzzyRecall::draw_pairs(Split split, RandomStream& random, Scratch& memory) const {
  MotifPairs& pairs = memory.pairs;
  draw_pair(split, random, memory.taken, memory.probe_key, memory.probe_value);
  const std::int64_t probe_length = std::ssize(memory.probe_key) + std::ssize(memory.probe_value);
  const auto probe_start =
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(seq_len_ - 2 * probe_length)));
  const std::int64_t limit = seq_len_ - probe_length - k_motif_size_ - v_motif_size_;
  bool probe_shown = false;
  while (pairs.length() < limit) {
    if (!probe_shown && pairs.length() >= probe_start) {
      pairs.append(memory.probe_key, memory.probe_value, false);
      probe_shown = true;
      continue;
    }
    draw_pair(split, random, memory.taken, memory.key, memory.value);
    const bool is_probe = memory.key == memory.probe_key;
    if (is_probe) memory.value = memory.probe_value;
    const bool is_repeat = pairs.find(memory.key, memory.value);
    const std::int64_t length = pairs.length() + std::ssize(memory.key) + std::ssize(memory.value);
    if (!probe_shown && !is_probe && length >= limit && !probe_may_be_missing_) {
      // The last place there is: the probe stands here instead of the pair.
      pairs.append(memory.probe_key, memory.probe_value, false);
      probe_shown = true;
      continue;
    }
    pairs.append(memory.key, memory.value, is_repeat);
    probe_shown |= is_probe;
  }
  pairs.append(memory.probe_key, memory.probe_value, true);
}

void FuzzyRecall::check_settings() const {
  const std::int64_t keys = first_value(), values = vocab_size_ - 1 - keys;
  const auto check_motif = [&](const char* option, std::int64_t size, const char* what, std::int64_t tokens,
                               std::int64_t enough) {
    if (size <= tokens) return;
    throw zoo::UsageError(
        "task fuzzy_recall: {} {} needs as many different {} tokens, but vocab_size {} has {}; raise vocab_size to {} "
        "or lower {} to {}",
        option, size, what, vocab_size_, tokens, enough, option, tokens);
  };
  check_motif("k_motif_size", k_motif_size_, "key", keys, 2 * k_motif_size_ + 1);
  check_motif("v_motif_size", v_motif_size_, "value", values, 2 * v_motif_size_);
  const std::int64_t needed = 2 * (k_motif_size_ + v_motif_size_) + 1;
  if (seq_len_ < needed) {
    throw zoo::UsageError(
        "task fuzzy_recall: seq_len {} is too short for k_motif_size {} and v_motif_size {}: a pair must have room "
        "twice; raise seq_len to {}",
        seq_len_, k_motif_size_, v_motif_size_, needed);
  }
}

std::string FuzzyRecall::describe(const Example& example) const {
  std::string text =
      fmt::format("{} tokens: keys are 1 to {} of k0 to k{}, values 1 to {} of v{} to v{}, padding _\n", seq_len_,
                  k_motif_size_, first_value() - 1, v_motif_size_, first_value(), vocab_size_ - 2);
  text += zoo::tasks::token_grid("fuzzy_recall", example, seq_len_, [&](std::int32_t token) {
    return token == padding_token() ? "_" : fmt::format("{}{}", token < first_value() ? "k" : "v", token);
  });
  // The last pair: keys and values have tokens of their own, so each ends where the other begins.
  std::vector<std::int32_t> tokens = example.tokens;
  tokens.push_back(example.labels.back());
  const auto is_key = [&](std::int32_t token) { return token < first_value(); };
  const auto value = std::find_if(tokens.rbegin(), tokens.rend(), is_key).base();
  const auto key = std::find_if_not(std::reverse_iterator(value), tokens.rend(), is_key).base();
  return text + fmt::format("asked at the end: key {}, its value is {}\n", fmt::join(key, value, " "),
                            fmt::join(value, tokens.end(), " "));
}

}  // namespace

ZOO_REGISTER_TASK(fuzzy_recall) {
  zoo::OptionSchema options;
  options
      .integer("vocab_size", 16, {4, 1 << 24},
               "tokens; the last is padding, of the others the first half (rounded down) make keys, the rest values")
      .integer("seq_len", 128, {5, 1 << 24}, "length T of an example")
      .integer("k_motif_size", 3, {1, 64}, "most tokens of a key; in validation and test each has as many")
      .integer("v_motif_size", 3, {1, 64}, "most tokens of a value")
      .boolean("probe_may_be_missing", false,
               "in about 2% of the examples the key asked for at the end was never shown, as in the public generator");
  return {.name = "fuzzy_recall",
          .description = "in-context recall with keys and values of several tokens",
          .paper = "Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<FuzzyRecall>(given); },
          .test_cases = {nlohmann::json::object(),
                         {{"vocab_size", 21},
                          {"seq_len", 41},
                          {"k_motif_size", 2},
                          {"v_motif_size", 4},
                          {"probe_may_be_missing", true}}}};
}
