#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/cli/command.h"
#include "zoo/lm/plan.h"
#include "zoo/text/corpus.h"
#include "zoo/text/prepare.h"

namespace zoo::test {

/// A text with words that come again, so that there is something to learn: some 50 bytes a line.
inline std::string small_text(std::int64_t lines, std::uint64_t seed = 0) {
  const char* words[] = {"the ", "state ", "of ", "a ", "layer ", "is ", "itself ", "model ", "and ", "learns "};
  RandomStream random(RandomKey::of(seed, "small text"));
  std::string text;
  for (std::int64_t line = 0; line < lines; ++line) {
    for (int word = 0; word < 9; ++word) text += words[random.below(10)];
    text.back() = '\n';
  }
  return text;
}

/// A corpus of bytes of that text: one document for training, one for validation.
inline Corpus small_corpus(const TemporaryDirectory& directory, std::int64_t lines = 60) {
  const std::string folder = directory / "corpus";
  if (!std::filesystem::exists(folder)) {
    std::vector<std::string> files;
    for (const std::uint64_t document : {0, 1}) {
      files.push_back(directory / ("text" + std::to_string(document)));
      std::ofstream(files.back()) << small_text(lines, document);
    }
    prepare_corpus({.text = {.files = files}, .tokenizer = "byte", .out = folder, .validation = 0.5});
  }
  return Corpus(folder);
}

/// A model and a training that take a fraction of a second.
inline LmChoices small_choices() {
  return {.preset = "tiny",
          .blocks = 2,
          .d_model = 16,
          .heads = 2,
          .context = 24,
          .batch_tokens = 96,
          .steps = 6,
          .validation_tokens = 96,
          .evaluate_every = 3};
}

}  // namespace zoo::test
