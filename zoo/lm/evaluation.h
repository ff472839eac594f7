#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "zoo/io/store.h"
#include "zoo/lm/sequences.h"
#include "zoo/nn/model.h"
#include "zoo/text/corpus.h"

namespace zoo {

/// Cross-entropy summed over tokens, nats.
struct TokenLoss {
  double sum = 0;
  std::int64_t tokens = 0;

  void add(double loss) {
    sum += loss;
    ++tokens;
  }
  /// NaN of no tokens.
  double mean() const { return sum / static_cast<double>(tokens); }
};

/// What a language model makes of a text it was not trained on.
struct LmScores {
  TokenLoss all;
  std::int64_t right = 0;               ///< tokens that had the largest logit
  std::vector<double> sequence_losses;  ///< mean of each sequence
  std::vector<TokenLoss> positions;     ///< [k]: of positions 2^k .. 2^(k+1) - 1 of their sequence; 0 is with 1
  TokenLoss recall;                     ///< of tokens that complete a bigram seen before: see RecallTokens
  TokenLoss other;                      ///< of all others

  double perplexity() const;
};

/// Which tokens ask for recall (Arora et al. 2023, "Zoology", section 3: AR hits): those that complete a bigram which
/// stands earlier in the same sequence, unless training has shown that bigram so often that the weights may know it.
class RecallTokens {
 public:
  static constexpr std::int64_t often = 1250;  ///< as in the paper

  /// Bigrams that the training split has more than `frequent` times do not count.
  explicit RecallTokens(const Corpus& corpus, std::int64_t frequent = often);

  /// Whether each of tokens [T+1] from the second on asks for recall: `asks` [T].
  void mark(std::span<const std::int32_t> tokens, std::span<std::uint8_t> asks) const;

 private:
  std::unordered_map<std::uint64_t, std::int64_t> counts_;  // in training, of the validation split's bigrams
  std::int64_t frequent_;
};

/// The first `count` sequences, as the model predicts each token from those before it in its sequence.
LmScores evaluate_lm(const Model& model, const Sequences& sequences, std::int64_t count,
                     const RecallTokens* recall = nullptr);

/// The same as a result for the store: accuracy, loss and {"perplexity", "perplexity_interval" [low, high] (95%, over
/// sequences), "positions": [{"from", "to", "loss", "tokens"}], "recall": {"loss", "tokens"}, "other": {...}}.
SliceResult lm_result(const LmScores& scores, std::int64_t context, std::int64_t state_bytes);

}  // namespace zoo
