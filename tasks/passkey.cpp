// Passkey retrieval: Mohtashami & Jaggi 2023, "Landmark Attention: Random-Access Infinite Context Length for
// Transformers", section 4.2, in tokens of our own. passkey.md, beside this file, documents it.

#include "tasks/common/hidden_fact.h"
#include "zoo/core/plugin.h"

ZOO_REGISTER_TASK(passkey) {
  return {
      .name = "passkey",
      .description = "one fact at any depth of a long filler, asked for at the end",
      .paper = "Mohtashami & Jaggi 2023, Landmark Attention: Random-Access Infinite Context Length for Transformers",
      .options = zoo::HiddenFact::schema(),
      .make =
          [](const zoo::Options& given) { return std::make_unique<zoo::HiddenFact>("passkey", given, std::nullopt); },
      .test_cases = {{{"seq_len", 64}}, {{"seq_len", 50}, {"digits", 12}, {"vocab_size", 20}, {"filler", "repeated"}}}};
}
