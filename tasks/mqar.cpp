// Multi-query associative recall: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language
// Models", section 4. mqar.md, beside this file, documents the layout, the options, and where ours differs from the
// public generator.

#include <string>

#include "tasks/common/recall_layout.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;
using zoo::Split;
using zoo::tasks::Filler;
using zoo::tasks::RecallScratch;

/// The number of pairs that the context holds, once the settings are known to fit together. They leave enough tokens,
/// too: V > T >= 4 kv_pairs gives at least 2 kv_pairs - 1 keys and more values, so a draw is rarely drawn again.
std::int64_t checked_pairs(std::int64_t seq_len, std::int64_t kv_pairs, std::int64_t num_passes) {
  zoo::tasks::check_even_length("mqar", seq_len);
  const std::int64_t context = 2 * kv_pairs * num_passes, needed = context + 2 * kv_pairs;
  if (needed > seq_len) {
    throw zoo::UsageError(
        "task mqar: seq_len {} is too short for kv_pairs {} and num_passes {}: the context takes 2 * kv_pairs * "
        "num_passes = {} positions and the queries need 2 * kv_pairs = {} more, together {}; raise seq_len to {} or "
        "lower kv_pairs to {}",
        seq_len, kv_pairs, num_passes, context, 2 * kv_pairs, needed, needed, seq_len / (2 * num_passes + 2));
  }
  return kv_pairs * num_passes;
}

Filler filler_of(const zoo::Options& options) {
  if (!options.boolean("random_non_queries")) return Filler::zero;
  return options.boolean("filler_collisions") ? Filler::random_with_key_collisions : Filler::random;
}

class Mqar final : public zoo::Task {
 public:
  explicit Mqar(const zoo::Options& options)
      : kv_pairs_(options.integer("kv_pairs")),
        num_passes_(options.integer("num_passes")),
        layout_("mqar", options.integer("vocab_size"), options.integer("seq_len"),
                checked_pairs(options.integer("seq_len"), kv_pairs_, num_passes_), kv_pairs_, options.real("alpha"),
                filler_of(options)) {}

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    static thread_local RecallScratch memory;
    zoo::RandomStream random(stream_key(split, seed).fold(index));
    layout_.draw(kv_pairs_, kv_pairs_, random, memory);
    layout_.write_filler(random, memory, example);
    std::size_t position = 0;
    for (std::int64_t pass = 0; pass < num_passes_; ++pass) {
      for (std::size_t i = 0; i < memory.keys.size(); ++i) {
        example.tokens[position++] = memory.keys[i];
        example.tokens[position++] = memory.values[i];
      }
    }
    for (std::size_t i = 0; i < memory.keys.size(); ++i) {
      const std::size_t query = layout_.query(memory.gaps[i]);
      example.tokens[query] = memory.keys[i];
      example.labels[query] = memory.values[i];
    }
  }

  std::int64_t vocab_size() const override { return layout_.vocab_size(); }
  std::int64_t seq_len() const override { return layout_.seq_len(); }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len()}, {"kv_pairs", kv_pairs_}}; }
  std::string describe(const Example& example) const override;

 private:
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

  std::int64_t kv_pairs_, num_passes_;
  zoo::tasks::RecallLayout layout_;
};

std::string Mqar::describe(const Example& example) const {
  layout_.check_length(example);
  const std::int64_t context = layout_.context_length();
  std::string text = layout_.describe_tokens() + fmt::format("context, positions 0 to {}", context - 1);
  if (num_passes_ > 1) text += fmt::format(", the same pairs {} times", num_passes_);
  text += ":\n";
  for (std::size_t i = 0; i < static_cast<std::size_t>(kv_pairs_); ++i) {
    text += fmt::format("  key {} value {}\n", example.tokens[2 * i], example.tokens[2 * i + 1]);
  }
  text += "queries:\n";
  std::int64_t queries = 0;
  for (std::int64_t t = context; t < seq_len(); ++t) {
    const auto at = static_cast<std::size_t>(t);
    if (example.labels[at] == zoo::unlabelled) continue;
    ++queries;
    text += fmt::format("  position {} (gap {}): key {}, label {}\n", t, (t - context) / 2, example.tokens[at],
                        example.labels[at]);
  }
  return text + layout_.describe_filler(queries);
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
