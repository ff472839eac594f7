// Multi-query associative recall: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language
// Models", section 4. mqar.md, beside this file, documents the layout, the options, and where ours differs from the
// public generator.

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
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

/// A set of tokens, one bit each.
class TokenSet {
 public:
  void reserve(std::int64_t vocab_size) {
    const auto words = static_cast<std::size_t>(vocab_size / 64 + 1);
    if (words_.size() < words) words_.resize(words, 0);
  }
  bool contains(std::int32_t token) const { return ((words_[word(token)] >> (token & 63)) & 1) != 0; }
  void insert(std::int32_t token) { words_[word(token)] |= std::uint64_t{1} << (token & 63); }
  void erase(const std::vector<std::int32_t>& tokens) {
    for (const std::int32_t token : tokens) words_[word(token)] &= ~(std::uint64_t{1} << (token & 63));
  }

 private:
  static std::size_t word(std::int32_t token) { return static_cast<std::size_t>(token) >> 6; }
  std::vector<std::uint64_t> words_;
};

/// Memory for the making of one example, kept by each thread: generating allocates nothing in the steady state.
struct Scratch {
  TokenSet taken;  // empty between examples
  std::vector<std::int32_t> keys, values, gaps;
  std::vector<std::uint64_t> left_weights;
};

Scratch& scratch() {
  static thread_local Scratch memory;
  return memory;
}

/// The gaps 0 .. size-1 with probabilities proportional to (gap+1)^(alpha-1), to be drawn without replacement.
///
/// A draw inverts the cumulative weights of the gaps that are left, kept in a binary tree so that drawing and removing
/// take log2(size) steps: the distribution is exactly that of sequential draws. The weights are whole numbers summing
/// to about 2^40, so drawing is integer arithmetic, the same on every machine; the rounding hides the last bits of
/// pow(), in which libraries differ. No weight is 0, so every gap can be drawn.
class GapDistribution {
 public:
  GapDistribution(std::int64_t size, double alpha)
      : leaves_(std::bit_ceil(static_cast<std::size_t>(size))), left_weights_(leaves_, 0) {
    std::vector<double> power(static_cast<std::size_t>(size));
    double sum = 0;
    for (std::size_t gap = 0; gap < power.size(); ++gap) {
      power[gap] = std::pow(static_cast<double>(gap + 1), alpha - 1);
      sum += power[gap];
    }
    for (std::size_t gap = 0; gap < power.size(); ++gap) {
      const auto rounded = static_cast<std::uint64_t>(std::llround(power[gap] / sum * 0x1p40));
      weights_.push_back(std::max<std::uint64_t>(1, rounded));
      total_ += weights_.back();
      for (std::size_t node = leaves_ + gap; node > 1; node /= 2) {
        if (node % 2 == 0) left_weights_[node / 2] += weights_.back();
      }
    }
  }

  /// Draws `count` different gaps into `gaps`; `left_weights` is working memory.
  void draw(std::int64_t count, RandomStream& random, std::vector<std::uint64_t>& left_weights,
            std::vector<std::int32_t>& gaps) const {
    left_weights.assign(left_weights_.begin(), left_weights_.end());
    gaps.clear();
    std::uint64_t total = total_;
    for (std::int64_t j = 0; j < count; ++j) {
      // Steps are computed rather than branched on: random branches cost most of the time otherwise.
      std::uint64_t rest = random.below(total);
      std::size_t node = 1;
      while (node < leaves_) {
        const std::uint64_t left = left_weights[node];
        const bool right = rest >= left;
        rest -= right ? left : 0;
        node = 2 * node + static_cast<std::size_t>(right);
      }
      const std::size_t gap = node - leaves_;
      const std::uint64_t weight = weights_[gap];
      gaps.push_back(static_cast<std::int32_t>(gap));
      total -= weight;
      for (; node > 1; node /= 2) left_weights[node / 2] -= node % 2 == 0 ? weight : 0;
    }
  }

 private:
  std::size_t leaves_;                       // a power of two
  std::vector<std::uint64_t> left_weights_;  // of the inner nodes from 1 (children 2i, 2i+1): the left child's sum
  std::vector<std::uint64_t> weights_;
  std::uint64_t total_ = 0;
};

class Mqar final : public zoo::Task {
 public:
  explicit Mqar(const zoo::Options& options)
      : vocab_size_(options.integer("vocab_size")),
        seq_len_(options.integer("seq_len")),
        kv_pairs_(options.integer("kv_pairs")),
        num_passes_(options.integer("num_passes")),
        random_non_queries_(options.boolean("random_non_queries")),
        filler_collisions_(options.boolean("filler_collisions")),
        gaps_(checked_gaps(), options.real("alpha")) {}

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    Scratch& memory = scratch();
    memory.taken.reserve(vocab_size_);
    RandomStream random(stream_key(split, seed).fold(index));
    // The filler is drawn last, so that the options about it change nothing else.
    draw_distinct(1, first_value(), random, memory.taken, memory.keys);
    draw_distinct(first_value(), vocab_size_, random, memory.taken, memory.values);
    gaps_.draw(kv_pairs_, random, memory.left_weights, memory.gaps);
    memory.taken.erase(memory.values);

    std::vector<std::int32_t>& tokens = example.tokens;
    tokens.resize(static_cast<std::size_t>(seq_len_));
    std::size_t position = 0;
    for (std::int64_t pass = 0; pass < num_passes_; ++pass) {
      for (std::size_t i = 0; i < memory.keys.size(); ++i) {
        tokens[position++] = memory.keys[i];
        tokens[position++] = memory.values[i];
      }
    }
    const std::size_t context_end = position;
    for (; position < tokens.size(); ++position) tokens[position] = filler(random, memory.taken);
    memory.taken.erase(memory.keys);

    example.labels.assign(tokens.size(), zoo::unlabelled);
    for (std::size_t i = 0; i < memory.keys.size(); ++i) {
      const std::size_t query = context_end + 2 * static_cast<std::size_t>(memory.gaps[i]);
      tokens[query] = memory.keys[i];
      example.labels[query] = memory.values[i];
    }
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}, {"kv_pairs", kv_pairs_}}; }
  std::string describe(const Example& example) const override;

 private:
  std::int64_t context_length() const { return 2 * kv_pairs_ * num_passes_; }
  std::int64_t first_value() const { return vocab_size_ / 2; }
  std::int64_t checked_gaps() const;

  static zoo::RandomKey stream_key(Split split, std::uint64_t seed) {
    switch (split) {
      case Split::train:
        return zoo::RandomKey::of(seed, "mqar/train");
      case Split::validation:
        return zoo::RandomKey::of(seed, "mqar/validation");
      case Split::test:
        break;
    }
    return zoo::RandomKey::of(seed, "mqar/test");
  }

  /// kv_pairs different tokens of [begin, end) in random order, added to `taken`. No more than about half of the range
  /// is ever asked for (see checked_gaps), so a token takes less than two draws on average, whatever the vocabulary.
  void draw_distinct(std::int64_t begin, std::int64_t end, RandomStream& random, TokenSet& taken,
                     std::vector<std::int32_t>& drawn) const {
    drawn.clear();
    const auto size = static_cast<std::uint64_t>(end - begin);
    while (drawn.size() < static_cast<std::size_t>(kv_pairs_)) {
      const auto token = static_cast<std::int32_t>(begin + static_cast<std::int64_t>(random.below(size)));
      if (taken.contains(token)) continue;
      taken.insert(token);
      drawn.push_back(token);
    }
  }

  std::int32_t filler(RandomStream& random, const TokenSet& keys) const {
    if (!random_non_queries_) return 0;
    std::int32_t token = 0;
    do {
      token = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab_size_)));
    } while (!filler_collisions_ && keys.contains(token));
    return token;
  }

  std::int64_t vocab_size_, seq_len_, kv_pairs_, num_passes_;
  bool random_non_queries_, filler_collisions_;
  GapDistribution gaps_;
};

/// The number of places a query can take, once the settings are known to fit together. They leave enough tokens, too:
/// V > T >= 4 kv_pairs gives at least 2 kv_pairs - 1 keys and more values.
std::int64_t Mqar::checked_gaps() const {
  if (seq_len_ % 2 != 0) {
    throw zoo::UsageError("task mqar: seq_len {} is odd; it must be even, for example {}", seq_len_, seq_len_ + 1);
  }
  const std::int64_t needed = context_length() + 2 * kv_pairs_;
  if (needed > seq_len_) {
    throw zoo::UsageError(
        "task mqar: seq_len {} is too short for kv_pairs {} and num_passes {}: the context takes 2 * kv_pairs * "
        "num_passes = {} positions and the queries need 2 * kv_pairs = {} more, together {}; raise seq_len to {} or "
        "lower kv_pairs to {}",
        seq_len_, kv_pairs_, num_passes_, context_length(), 2 * kv_pairs_, needed, needed,
        seq_len_ / (2 * num_passes_ + 2));
  }
  if (vocab_size_ <= seq_len_) {
    throw zoo::UsageError("task mqar: vocab_size {} must be greater than seq_len {}; raise it to {} or more",
                          vocab_size_, seq_len_, seq_len_ + 1);
  }
  return (seq_len_ - context_length()) / 2;
}

std::string Mqar::describe(const Example& example) const {
  if (std::ssize(example.tokens) != seq_len_ || std::ssize(example.labels) != seq_len_) {
    throw zoo::Error("task mqar: an example to describe has {} tokens and {} labels; expected seq_len {} of each",
                     example.tokens.size(), example.labels.size(), seq_len_);
  }
  std::string text = fmt::format("{} tokens: keys are 1 to {}, values {} to {}\ncontext, positions 0 to {}", seq_len_,
                                 first_value() - 1, first_value(), vocab_size_ - 1, context_length() - 1);
  if (num_passes_ > 1) text += fmt::format(", the same pairs {} times", num_passes_);
  text += ":\n";
  for (std::size_t i = 0; i < static_cast<std::size_t>(kv_pairs_); ++i) {
    text += fmt::format("  key {} value {}\n", example.tokens[2 * i], example.tokens[2 * i + 1]);
  }
  text += "queries:\n";
  std::int64_t queries = 0;
  for (std::int64_t t = context_length(); t < seq_len_; ++t) {
    const auto at = static_cast<std::size_t>(t);
    if (example.labels[at] == zoo::unlabelled) continue;
    ++queries;
    text += fmt::format("  position {} (gap {}): key {}, label {}\n", t, (t - context_length()) / 2, example.tokens[at],
                        example.labels[at]);
  }
  text += fmt::format("filler: {} positions, {}\n", seq_len_ - context_length() - queries,
                      !random_non_queries_ ? "all 0"
                      : filler_collisions_ ? "random tokens, live keys among them"
                                           : "random tokens other than the keys above");
  return text;
}

}  // namespace

ZOO_REGISTER_TASK(mqar) {
  zoo::OptionSchema options;
  options
      .integer("vocab_size", 8192, {2, 0x7FFFFFFF},
               "tokens; keys are 1 to vocab_size/2 - 1, values vocab_size/2 to vocab_size - 1")
      .integer("seq_len", 64, {2, 1 << 24}, "length T of an example; even and less than vocab_size")
      .integer("kv_pairs", 4, {1, 1 << 22}, "key-value pairs in the context, each asked for once")
      .real("alpha", 0.01, {0, 10}, "power a of the gaps: p(gap) is proportional to (gap+1)^(a-1)")
      .boolean("random_non_queries", false, "filler of uniform random tokens instead of 0")
      .integer("num_passes", 1, {1, 1 << 22}, "times the context is repeated")
      .boolean("filler_collisions", false, "random filler may equal a key of the example, as in the public generator");
  return {.name = "mqar",
          .description = "multi-query associative recall: recall the value of each key when it is seen again",
          .paper = "Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<Mqar>(given); },
          .test_cases = {
              nlohmann::json::object(),
              {{"vocab_size", 128}, {"seq_len", 64}, {"kv_pairs", 16}, {"random_non_queries", true}},
              {{"vocab_size", 256}, {"seq_len", 128}, {"kv_pairs", 8}, {"num_passes", 3}, {"alpha", 1}},
              {{"vocab_size", 512},
               {"seq_len", 96},
               {"kv_pairs", 4},
               {"random_non_queries", true},
               {"filler_collisions", true}},
          }};
}
