#include "tasks/common/pair_sequence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/token_grid.h"
#include "zoo/core/error.h"

namespace zoo::tasks {

namespace {

constexpr std::int32_t unbound = -1;

/// Memory for the making of one example, kept by each thread.
struct Scratch {
  std::vector<std::int32_t> value_of;  // by key, `unbound` until the key is shown
  std::vector<std::int32_t> shown;     // the keys shown, in that order
};

}  // namespace

void label_next_tokens(std::int32_t following, Example& example) {
  std::copy(example.tokens.begin() + 1, example.tokens.end(), example.labels.begin());
  example.labels.back() = following;
}

PairSequence::PairSequence(const Settings& settings) : settings_(settings) {
  const auto& [task, vocab_size, seq_len, noise_vocab_size, frac_noise] = settings_;
  if (seq_len % 2 != 0) {
    throw UsageError("task {}: seq_len {} is odd; it must be even, two tokens a pair, for example {}", task, seq_len,
                     seq_len + 1);
  }
  first_noise_ = vocab_size - noise_vocab_size;
  first_value_ = first_noise_ / 2;
  if (first_value_ < 2) {
    throw UsageError(
        "task {}: vocab_size {}{} leaves {} tokens for keys and values; two of each are needed: raise vocab_size to {}",
        task, vocab_size, has_noise() ? fmt::format(" less noise_vocab_size {}", noise_vocab_size) : "",
        std::max<std::int64_t>(first_noise_, 0), noise_vocab_size + 4);
  }
}

void PairSequence::generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const {
  static thread_local Scratch memory;
  memory.value_of.assign(static_cast<std::size_t>(first_value_), unbound);
  memory.shown.clear();
  RandomStream random = example_stream(settings_.task, split, seed, index);

  const auto length = static_cast<std::size_t>(seq_len());
  std::vector<std::int32_t>& tokens = example.tokens;
  tokens.resize(length);
  example.labels.assign(length, unlabelled);
  // One slot surely is a pair, so that there is a key to ask for at the end.
  const std::size_t always_pair = has_noise() ? 2 * random.below(length / 2) : 0;
  for (std::size_t t = 0; t + 1 < length; t += 2) {
    if (has_noise() && t != always_pair && random.uniform() < settings_.frac_noise) {
      tokens[t] = draw_token(first_noise_, settings_.vocab_size, random);
      tokens[t + 1] = draw_token(first_noise_, settings_.vocab_size, random);
      continue;
    }
    const std::int32_t key = draw_token(0, first_value_, random);
    std::int32_t& value = memory.value_of[static_cast<std::size_t>(key)];
    if (value == unbound) {
      value = draw_token(first_value_, first_noise_, random);
      memory.shown.push_back(key);
    } else {
      example.labels[t] = value;
    }
    tokens[t] = key;
    tokens[t + 1] = value;
  }
  const std::int32_t asked = memory.shown[random.below(memory.shown.size())];
  const std::int32_t answer = memory.value_of[static_cast<std::size_t>(asked)];
  tokens.back() = asked;
  example.labels.back() = answer;
  if (split == Split::train) label_next_tokens(answer, example);
}

std::vector<Slice> PairSequence::slices() const {
  return {{"seq_len", settings_.seq_len}, {"vocab_size", settings_.vocab_size}};
}

std::string PairSequence::describe(const Example& example) const {
  std::string text = fmt::format("{} tokens: keys are k0 to k{}, values v{} to v{}", seq_len(), first_value_ - 1,
                                 first_value_, first_noise_ - 1);
  if (has_noise()) text += fmt::format(", noise n{} to n{}", first_noise_, settings_.vocab_size - 1);
  text += "\n" + token_grid(settings_.task, example, seq_len(), [&](std::int32_t token) {
            return fmt::format("{}{}", token < first_value_ ? "k" : token < first_noise_ ? "v" : "n", token);
          });
  return text +
         fmt::format("asked at the end: key {}, its value is {}\n", example.tokens.back(), example.labels.back());
}

}  // namespace zoo::tasks
