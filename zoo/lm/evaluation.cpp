#include "zoo/lm/evaluation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_set>

#include "zoo/core/tape.h"
#include "zoo/ops/ops.h"
#include "zoo/report/statistics.h"

namespace zoo {

namespace {

std::uint64_t bigram(std::int32_t first, std::int32_t second) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(first)) << 32 | static_cast<std::uint32_t>(second);
}

// Calls visit(bigram) for all neighbours of a split, which is read a piece at a time.
template <typename Visit>
void for_each_bigram(const Corpus& corpus, Split split, const Visit& visit) {
  constexpr std::int64_t piece = 1 << 20;
  std::vector<std::int32_t> tokens;
  for (std::int64_t begin = 0; begin + 1 < corpus.tokens(split); begin += piece) {
    tokens.resize(static_cast<std::size_t>(std::min(piece + 1, corpus.tokens(split) - begin)));
    corpus.read(split, begin, tokens);
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) visit(bigram(tokens[i], tokens[i + 1]));
  }
}

nlohmann::json loss_json(const TokenLoss& loss) {
  return {{"loss", loss.tokens > 0 ? nlohmann::json(loss.mean()) : nlohmann::json()}, {"tokens", loss.tokens}};
}

}  // namespace

double LmScores::perplexity() const {
  return std::exp(all.mean());
}

RecallTokens::RecallTokens(const Corpus& corpus, std::int64_t frequent) : frequent_(frequent) {
  for_each_bigram(corpus, Split::validation, [&](std::uint64_t pair) { counts_[pair] = 0; });
  for_each_bigram(corpus, Split::train, [&](std::uint64_t pair) {
    if (const auto known = counts_.find(pair); known != counts_.end()) ++known->second;
  });
}

void RecallTokens::mark(std::span<const std::int32_t> tokens, std::span<std::uint8_t> asks) const {
  std::unordered_set<std::uint64_t> seen;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    const std::uint64_t pair = bigram(tokens[i], tokens[i + 1]);
    const auto count = counts_.find(pair);
    const bool rare = count == counts_.end() || count->second <= frequent_;
    asks[i] = !seen.insert(pair).second && rare ? 1 : 0;
  }
}

LmScores evaluate_lm(const Model& model, const Sequences& sequences, std::int64_t count, const RecallTokens* recall) {
  const NoTape off;
  const std::int64_t context = sequences.context();
  LmScores scores;
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(context + 1));
  std::vector<std::uint8_t> asks(static_cast<std::size_t>(context), 0);
  for (std::int64_t sequence = 0; sequence < count; ++sequence) {
    sequences.read(sequence, tokens);
    if (recall != nullptr) recall->mark(tokens, asks);
    ModelState state = model.initial_state(1);
    const Tensor inputs = Tensor::from<std::int32_t>({1, context}, std::span(tokens).first(asks.size()));
    const Tensor labels = Tensor::from<std::int32_t>({context}, std::span(tokens).subspan(1));
    const Tensor hidden = model.forward(inputs, state, {});
    const Head::Scores answered =
        model.head().score(ops::reshape(hidden, {context, -1}), {.labels = labels, .targets = {}});
    TokenLoss whole;
    for (std::size_t t = 0; t < asks.size(); ++t) {
      const double loss = answered.losses[t];
      whole.add(loss);
      scores.all.add(loss);
      scores.right += answered.right[t];
      const auto octave = static_cast<std::size_t>(std::bit_width(t | 1) - 1);
      if (octave >= scores.positions.size()) scores.positions.resize(octave + 1);
      scores.positions[octave].add(loss);
      if (recall != nullptr) (asks[t] != 0 ? scores.recall : scores.other).add(loss);
    }
    scores.sequence_losses.push_back(whole.mean());
  }
  return scores;
}

SliceResult lm_result(const LmScores& scores, std::int64_t context, std::int64_t state_bytes) {
  const report::Estimate loss = report::estimate(scores.sequence_losses);
  nlohmann::json metrics = {{"perplexity", scores.perplexity()},
                            {"perplexity_interval", nullptr},
                            {"positions", nlohmann::json::array()},
                            {"sequences", scores.sequence_losses.size()}};
  if (loss.has_interval()) {
    metrics["perplexity_interval"] = {std::exp(loss.mean - loss.half_width), std::exp(loss.mean + loss.half_width)};
  }
  for (std::size_t octave = 0; octave < scores.positions.size(); ++octave) {
    nlohmann::json entry = loss_json(scores.positions[octave]);
    entry["from"] = octave == 0 ? 0 : std::int64_t{1} << octave;
    entry["to"] = std::min((std::int64_t{2} << octave) - 1, context - 1);
    metrics["positions"].push_back(std::move(entry));
  }
  if (scores.recall.tokens + scores.other.tokens > 0) {
    metrics["recall"] = loss_json(scores.recall);
    metrics["other"] = loss_json(scores.other);
  }
  return {.split = "validation",
          .slice = {{"seq_len", context}},
          .accuracy = static_cast<double>(scores.right) / static_cast<double>(scores.all.tokens),
          .loss = scores.all.mean(),
          .state_bytes = state_bytes,
          .labelled = scores.all.tokens,
          .metrics = std::move(metrics)};
}

}  // namespace zoo
