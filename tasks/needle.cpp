// A needle in a haystack: one cell of the grid of length x depth of Kamradt 2023, "Needle In A Haystack - Pressure
// Testing LLMs", in tokens of our own. needle.md, beside this file, documents it.

#include "tasks/common/hidden_fact.h"
#include "zoo/core/plugin.h"

ZOO_REGISTER_TASK(needle) {
  zoo::OptionSchema options = zoo::HiddenFact::schema();
  options.integer("depth", 50, {0, 100}, "where the fact begins, in percent of the places it can take");
  return {.name = "needle",
          .description = "one fact at a given depth of a long filler, asked for at the end",
          .paper = "Kamradt 2023, Needle In A Haystack - Pressure Testing LLMs",
          .options = options,
          .make =
              [](const zoo::Options& given) {
                return std::make_unique<zoo::HiddenFact>("needle", given, given.integer("depth"));
              },
          .test_cases = {{{"seq_len", 64}, {"depth", 0}},
                         {{"seq_len", 64}, {"depth", 100}},
                         {{"seq_len", 51}, {"depth", 37}, {"digits", 12}, {"vocab_size", 20}, {"filler", "repeated"}}}};
}
