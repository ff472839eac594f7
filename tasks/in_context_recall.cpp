// In-context recall: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (MAD), section 3.1.
// in_context_recall.md, beside this file, documents the layout, the labels and the options.

#include "tasks/common/pair_sequence.h"
#include "zoo/core/plugin.h"

ZOO_REGISTER_TASK(in_context_recall) {
  zoo::OptionSchema options;
  options.integer("vocab_size", 16, {4, 1 << 24}, "tokens; keys are 0 to vocab_size/2 - 1, values the rest")
      .integer("seq_len", 128, {4, 1 << 24},
               "tokens of the pairs, even; an example has one less, the last being a label");
  return {.name = "in_context_recall",
          .description = "name the value of a key that was shown before in the sequence",
          .paper = "Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures",
          .options = options,
          .make =
              [](const zoo::Options& given) {
                return std::make_unique<zoo::tasks::PairSequence>(
                    zoo::tasks::PairSequence::Settings{.task = "in_context_recall",
                                                       .vocab_size = given.integer("vocab_size"),
                                                       .seq_len = given.integer("seq_len")});
              },
          .test_cases = {nlohmann::json::object(), {{"vocab_size", 33}, {"seq_len", 32}}}};
}
