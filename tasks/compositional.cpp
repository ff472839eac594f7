// Compositional recall: the value of a key may be another key, and so on, up to a number of hops. A task of our own, in
// the token ranges and the layout of mqar (Arora et al. 2023, Zoology, section 4). compositional.md, beside this file,
// documents the layout and the options.

#include <algorithm>
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
  std::vector<std::size_t> places;  // for each pair, which one of the context it is
};

/// Chains of 1, 2, ..., max_hops, 1, 2, ... pairs, `kv_pairs` in all; the last may be shorter.
std::vector<std::int64_t> chain_hops(std::int64_t kv_pairs, std::int64_t max_hops) {
  const std::int64_t needed = max_hops * (max_hops + 1) / 2;
  if (kv_pairs < needed) {
    std::int64_t fitting = 1;
    while ((fitting + 1) * (fitting + 2) / 2 <= kv_pairs) ++fitting;
    throw zoo::UsageError(
        "task compositional: kv_pairs {} is too few for max_hops {}: a chain of each number of hops, 1 to {}, takes {} "
        "pairs; raise kv_pairs to {} or lower max_hops to {}",
        kv_pairs, max_hops, max_hops, needed, needed, fitting);
  }
  std::vector<std::int64_t> hops;
  for (std::int64_t left = kv_pairs; left > 0; left -= hops.back()) {
    hops.push_back(std::min(left, 1 + std::ssize(hops) % max_hops));
  }
  return hops;
}

class Compositional final : public zoo::Task {
 public:
  explicit Compositional(const zoo::Options& options)
      : kv_pairs_(options.integer("kv_pairs")),
        max_hops_(options.integer("max_hops")),
        hops_(chain_hops(kv_pairs_, max_hops_)),
        layout_("compositional", options.integer("vocab_size"), options.integer("seq_len"), kv_pairs_,
                std::ssize(hops_), options.real("alpha"),
                options.boolean("random_non_queries") ? Filler::random : Filler::zero) {}

  void generate(zoo::Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    static thread_local Scratch memory;
    zoo::RandomStream random = zoo::example_stream("compositional", split, seed, index);
    layout_.draw(kv_pairs_, std::ssize(hops_), random, memory.recall);
    // Neither the query's position nor a pair's place in the context tells how long a chain is.
    zoo::tasks::shuffle(memory.recall.gaps, random);
    memory.places.resize(static_cast<std::size_t>(kv_pairs_));
    for (std::size_t i = 0; i < memory.places.size(); ++i) memory.places[i] = i;
    zoo::tasks::shuffle(memory.places, random);
    layout_.write_filler(random, memory.recall, example);

    const auto& [taken, keys, values, gaps, left_weights] = memory.recall;
    example.groups.assign(example.tokens.size(), 0);
    std::size_t first = 0;  // the chain's first key
    for (std::size_t chain = 0; chain < hops_.size(); ++chain) {
      const std::size_t end = first + static_cast<std::size_t>(hops_[chain]);
      for (std::size_t i = first; i < end; ++i) {
        example.tokens[2 * memory.places[i]] = keys[i];
        example.tokens[2 * memory.places[i] + 1] = i + 1 < end ? keys[i + 1] : values[chain];
      }
      const std::size_t query = layout_.query(gaps[chain]);
      example.tokens[query] = keys[first];
      example.labels[query] = values[chain];
      example.groups[query] = static_cast<std::int32_t>(hops_[chain] - 1);
      first = end;
    }
  }

  std::int64_t vocab_size() const override { return layout_.vocab_size(); }
  std::int64_t seq_len() const override { return layout_.seq_len(); }
  std::vector<zoo::Slice> slices() const override {
    return {{"seq_len", seq_len()}, {"kv_pairs", kv_pairs_}, {"max_hops", max_hops_}};
  }
  std::vector<zoo::Slice> groups() const override {
    std::vector<zoo::Slice> groups;
    for (std::int64_t count = 1; count <= max_hops_; ++count) groups.push_back({"hops", count});
    return groups;
  }
  std::string describe(const Example& example) const override;

 private:
  std::int64_t kv_pairs_, max_hops_;
  std::vector<std::int64_t> hops_;  // of each chain
  zoo::tasks::RecallLayout layout_;
};

std::string Compositional::describe(const Example& example) const {
  layout_.check_length(example);
  const std::int64_t context = layout_.context_length();
  const auto is_key = [&](std::int32_t token) { return token < layout_.first_value(); };
  std::string text = layout_.describe_tokens() + fmt::format("context, positions 0 to {}:\n", context - 1);
  std::map<std::int32_t, std::int32_t> follows;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kv_pairs_); ++i) {
    const std::int32_t key = example.tokens[2 * i], value = example.tokens[2 * i + 1];
    follows[key] = value;
    text += fmt::format("  key {} {} {}\n", key, is_key(value) ? "key" : "value", value);
  }
  text += "queries:\n";
  for (auto t = static_cast<std::size_t>(context); t < example.tokens.size(); ++t) {
    if (example.labels[t] == zoo::unlabelled) continue;
    std::string chain;
    std::int32_t token = example.tokens[t];
    for (std::int64_t hop = 0; hop < max_hops_ && is_key(token); ++hop) {
      token = follows[token];
      chain += fmt::format(" -> {}", token);
    }
    text += fmt::format("  position {} (gap {}): key {}{}, label {}\n", t, (static_cast<std::int64_t>(t) - context) / 2,
                        example.tokens[t], chain, example.labels[t]);
  }
  return text + layout_.describe_filler(std::ssize(hops_));
}

}  // namespace

ZOO_REGISTER_TASK(compositional) {
  zoo::OptionSchema options;
  options
      .integer("vocab_size", 8192, {2, 0x7FFFFFFF},
               "tokens; keys are 1 to vocab_size/2 - 1, values vocab_size/2 to vocab_size - 1")
      .integer("seq_len", 128, {2, 1 << 24}, "length T of an example; even and less than vocab_size")
      .integer("kv_pairs", 20, {1, 1 << 22}, "pairs in the context, of all chains")
      .integer("max_hops", 4, {1, 1 << 10}, "chains take 1 to max_hops hops, as many of each")
      .real("alpha", 0.01, {0, 10}, "power a of the gaps: p(gap) is proportional to (gap+1)^(a-1)")
      .boolean("random_non_queries", false, "filler of uniform random tokens instead of 0");
  return {
      .name = "compositional",
      .description = "associative recall along chains: a key's value may be another key",
      .paper = "ours, after Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models",
      .options = options,
      .make = [](const zoo::Options& given) { return std::make_unique<Compositional>(given); },
      .test_cases = {nlohmann::json::object(),
                     {{"vocab_size", 130},
                      {"seq_len", 96},
                      {"kv_pairs", 18},
                      {"max_hops", 5},
                      {"alpha", 1},
                      {"random_non_queries", true}}}};
}
