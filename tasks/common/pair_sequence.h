#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "zoo/core/task.h"

namespace zoo::tasks {

/// The in-context recall of MAD (Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures", section
/// 3.1), of which in_context_recall and noisy_recall are two settings: a sequence of key-value pairs in which each
/// key's value is drawn when it is first shown and stays, some pairs replaced by noise. in_context_recall.md and
/// noisy_recall.md tell the layout.
class PairSequence final : public Task {
 public:
  struct Settings {
    std::string task;         ///< its name
    std::int64_t vocab_size;  ///< noise included
    std::int64_t seq_len;     ///< two for each pair; the last value is a label only
    std::int64_t noise_vocab_size = 0;
    double frac_noise = 0;
  };

  /// Throws UsageError unless seq_len is even and there are two keys and two values at least.
  explicit PairSequence(const Settings& settings);

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override;
  std::int64_t vocab_size() const override { return settings_.vocab_size; }
  std::int64_t seq_len() const override { return settings_.seq_len - 1; }
  std::vector<Slice> slices() const override;
  std::string describe(const Example& example) const override;

 private:
  bool has_noise() const { return settings_.noise_vocab_size > 0; }

  Settings settings_;
  std::int64_t first_value_, first_noise_;
};

/// Labels each position but the last with the token that follows it, as a language model is trained; the last with
/// `following`.
void label_next_tokens(std::int32_t following, Example& example);

}  // namespace zoo::tasks
