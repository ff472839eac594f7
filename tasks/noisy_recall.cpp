// Noisy in-context recall: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (MAD), section
// 3.1. noisy_recall.md, beside this file, documents the layout, the labels and the options.

#include "tasks/common/pair_sequence.h"
#include "zoo/core/plugin.h"

ZOO_REGISTER_TASK(noisy_recall) {
  zoo::OptionSchema options;
  options
      .integer("vocab_size", 32, {5, 1 << 24},
               "tokens, noise included; of those that are not noise the first half (rounded down) are keys, the rest "
               "values")
      .integer("seq_len", 128, {4, 1 << 24},
               "tokens of the pairs, even; an example has one less, the last being a label")
      .integer("noise_vocab_size", 16, {1, 1 << 24}, "tokens that are noise: the last of the vocabulary")
      .real("frac_noise", 0.2, {0, 1}, "probability that a pair is replaced by two noise tokens");
  return {.name = "noisy_recall",
          .description = "in_context_recall with noise tokens between the pairs",
          .paper = "Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures",
          .options = options,
          .make =
              [](const zoo::Options& given) {
                return std::make_unique<zoo::tasks::PairSequence>(
                    zoo::tasks::PairSequence::Settings{.task = "noisy_recall",
                                                       .vocab_size = given.integer("vocab_size"),
                                                       .seq_len = given.integer("seq_len"),
                                                       .noise_vocab_size = given.integer("noise_vocab_size"),
                                                       .frac_noise = given.real("frac_noise")});
              },
          .test_cases = {nlohmann::json::object(),
                         {{"vocab_size", 24}, {"seq_len", 64}, {"noise_vocab_size", 9}, {"frac_noise", 0.8}}}};
}
