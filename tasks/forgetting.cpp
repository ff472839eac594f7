// Forgetting: associative recall in which keys are written again, and the last value counts. A task of our own, in the
// token ranges and the layout of mqar (Arora et al. 2023, Zoology, section 4). forgetting.md, beside this file,
// documents the layout and the options.

#include <map>
#include <string>
#include <vector>

#include "tasks/common/recall_layout.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;
using zoo::tasks::Filler;

/// Memory for the making of one example, kept by each thread.
struct Scratch {
  zoo::tasks::RecallScratch recall;
  std::vector<std::size_t> writes;        // for each pair of the context, which key it writes
  std::vector<std::int32_t> last_values;  // by number of key
};

class Forgetting final : public zoo::Task {
 public:
  explicit Forgetting(const zoo::Options& options)
      : kv_pairs_(options.integer("kv_pairs")),
        max_rewrites_(options.integer("max_rewrites")),
        writes_(count_writes()),
        layout_("forgetting", options.integer("vocab_size"), options.integer("seq_len"), writes_, kv_pairs_,
                options.real("alpha"), options.boolean("random_non_queries") ? Filler::random : Filler::zero) {}

  void generate(zoo::Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    static thread_local Scratch memory;
    zoo::RandomStream random = zoo::example_stream("forgetting", split, seed, index);
    layout_.draw(kv_pairs_, writes_, random, memory.recall);
    // Queries come in an order that has nothing to do with how often their keys are written.
    zoo::tasks::shuffle(memory.recall.gaps, random);
    draw_order(random, memory);
    layout_.write_filler(random, memory.recall, example);

    const auto& [taken, keys, values, gaps, left_weights] = memory.recall;
    memory.last_values.resize(keys.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t key = memory.writes[i];
      example.tokens[2 * i] = keys[key];
      example.tokens[2 * i + 1] = memory.last_values[key] = values[i];
    }
    example.groups.assign(example.tokens.size(), 0);
    for (std::size_t key = 0; key < keys.size(); ++key) {
      const std::size_t query = layout_.query(gaps[key]);
      example.tokens[query] = keys[key];
      example.labels[query] = memory.last_values[key];
      example.groups[query] = static_cast<std::int32_t>(rewrites(static_cast<std::int64_t>(key)));
    }
  }

  std::int64_t vocab_size() const override { return layout_.vocab_size(); }
  std::int64_t seq_len() const override { return layout_.seq_len(); }
  std::vector<zoo::Slice> slices() const override {
    return {{"seq_len", seq_len()}, {"kv_pairs", kv_pairs_}, {"max_rewrites", max_rewrites_}};
  }
  std::vector<zoo::Slice> groups() const override {
    std::vector<zoo::Slice> groups;
    for (std::int64_t count = 0; count <= max_rewrites_; ++count) groups.push_back({"rewrites", count});
    return groups;
  }
  std::string describe(const Example& example) const override;

 private:
  /// How often key number `key` is written again: 0, 1, ..., max_rewrites, 0, 1, ...
  std::int64_t rewrites(std::int64_t key) const { return key % (max_rewrites_ + 1); }
  std::int64_t count_writes() const;

  /// All orders in which the writes can come are equally probable.
  void draw_order(zoo::RandomStream& random, Scratch& memory) const {
    memory.writes.clear();
    for (std::int64_t key = 0; key < kv_pairs_; ++key) {
      memory.writes.insert(memory.writes.end(), static_cast<std::size_t>(1 + rewrites(key)),
                           static_cast<std::size_t>(key));
    }
    zoo::tasks::shuffle(memory.writes, random);
  }

  std::int64_t kv_pairs_, max_rewrites_, writes_;
  zoo::tasks::RecallLayout layout_;
};

std::int64_t Forgetting::count_writes() const {
  if (kv_pairs_ <= max_rewrites_) {
    throw zoo::UsageError(
        "task forgetting: kv_pairs {} is too few for max_rewrites {}: there is a key for each number of rewrites, 0 to "
        "{}; raise kv_pairs to {} or lower max_rewrites to {}",
        kv_pairs_, max_rewrites_, max_rewrites_, max_rewrites_ + 1, kv_pairs_ - 1);
  }
  const std::int64_t rounds = kv_pairs_ / (max_rewrites_ + 1), rest = kv_pairs_ % (max_rewrites_ + 1);
  return kv_pairs_ + rounds * max_rewrites_ * (max_rewrites_ + 1) / 2 + rest * (rest - 1) / 2;
}

std::string Forgetting::describe(const Example& example) const {
  layout_.check_length(example);
  std::string text = layout_.describe_tokens() +
                     fmt::format("context, positions 0 to {}, the last value of a key counts:\n", 2 * writes_ - 1);
  std::map<std::int32_t, std::int64_t> writes_of;
  for (std::size_t i = 0; i < static_cast<std::size_t>(writes_); ++i) {
    const std::int32_t key = example.tokens[2 * i];
    const std::int64_t before = writes_of[key]++;
    text += fmt::format("  key {} value {}{}\n", key, example.tokens[2 * i + 1],
                        before > 0 ? fmt::format(" (rewrite {})", before) : "");
  }
  text += "queries:\n";
  for (auto t = static_cast<std::size_t>(2 * writes_); t < example.tokens.size(); ++t) {
    if (example.labels[t] == zoo::unlabelled) continue;
    text += fmt::format("  position {} (gap {}): key {}, label {} (rewrites: {})\n", t,
                        (static_cast<std::int64_t>(t) - 2 * writes_) / 2, example.tokens[t], example.labels[t],
                        writes_of[example.tokens[t]] - 1);
  }
  return text + layout_.describe_filler(kv_pairs_);
}

}  // namespace

ZOO_REGISTER_TASK(forgetting) {
  zoo::OptionSchema options;
  options
      .integer("vocab_size", 8192, {2, 0x7FFFFFFF},
               "tokens; keys are 1 to vocab_size/2 - 1, values vocab_size/2 to vocab_size - 1")
      .integer("seq_len", 128, {2, 1 << 24}, "length T of an example; even and less than vocab_size")
      .integer("kv_pairs", 8, {1, 1 << 16}, "keys, each asked for once")
      .integer("max_rewrites", 3, {0, 1 << 10}, "keys are written again 0 to max_rewrites times, as many of each")
      .real("alpha", 0.01, {0, 10}, "power a of the gaps: p(gap) is proportional to (gap+1)^(a-1)")
      .boolean("random_non_queries", false, "filler of uniform random tokens instead of 0");
  return {
      .name = "forgetting",
      .description = "associative recall with keys that are written again: the last value counts",
      .paper = "ours, after Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models",
      .options = options,
      .make = [](const zoo::Options& given) { return std::make_unique<Forgetting>(given); },
      .test_cases = {nlohmann::json::object(),
                     {{"vocab_size", 100},
                      {"seq_len", 96},
                      {"kv_pairs", 7},
                      {"max_rewrites", 5},
                      {"alpha", 1},
                      {"random_non_queries", true}}}};
}
