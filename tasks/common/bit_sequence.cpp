#include "tasks/common/bit_sequence.h"

#include <algorithm>
#include <utility>

#include "tasks/common/octaves.h"
#include "zoo/core/error.h"
#include "zoo/core/random.h"

namespace zoo {

namespace {

constexpr std::int32_t read_token = 2;

}  // namespace

BitSequence::BitSequence(std::string name, const Options& options)
    : name_(std::move(name)), seq_len_(options.integer("seq_len")), cumulative_(options.boolean("cumulative")) {}

OptionSchema BitSequence::schema() {
  OptionSchema options;
  options.integer("seq_len", 64, {2, 1 << 24}, "length T of an example: T-1 bits and the read token")
      .boolean("cumulative", false, "labels at every bit too, about the bits so far");
  return options;
}

void BitSequence::generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const {
  RandomStream random = example_stream(name_, split, seed, index);
  const auto bits = static_cast<std::size_t>(seq_len_ - 1);
  example.tokens.resize(bits + 1);
  example.labels.assign(bits + 1, unlabelled);
  if (cumulative_) example.groups.resize(bits + 1);
  std::int64_t ones = 0;
  std::uint64_t word = 0;
  for (std::size_t t = 0; t < bits; ++t) {
    if (t % 64 == 0) word = random.next_u64();
    const auto bit = static_cast<std::int32_t>(word & 1);
    word >>= 1;
    ones += bit;
    example.tokens[t] = bit;
    if (!cumulative_) continue;
    const auto count = static_cast<std::int64_t>(t) + 1;
    example.labels[t] = answer(ones, count);
    example.groups[t] = octave(count);
  }
  example.tokens[bits] = read_token;
  example.labels[bits] = answer(ones, seq_len_ - 1);
  if (cumulative_) example.groups[bits] = octave(seq_len_ - 1);
}

std::vector<Slice> BitSequence::groups() const {
  return cumulative_ ? octave_groups("bits", seq_len_ - 1) : std::vector<Slice>{};
}

std::string BitSequence::describe(const Example& example) const {
  check_example(*this, example, 0);
  constexpr std::size_t longest = 256;
  const auto digits = [&](const std::vector<std::int32_t>& values) {
    std::string text;
    for (std::size_t t = 0; t + 1 < std::min(values.size(), longest); ++t) {
      text += values[t] == unlabelled ? '.' : static_cast<char>('0' + values[t]);
    }
    return values.size() > longest ? text + fmt::format(" ... {} in all", values.size() - 1) : text;
  };
  std::string text = fmt::format("{} tokens: bits 0 and 1, then the read token {}\nbits:   {}\n", seq_len_, read_token,
                                 digits(example.tokens));
  if (cumulative_) text += fmt::format("labels: {}\n", digits(example.labels));
  const auto ones = std::count(example.tokens.begin(), example.tokens.end() - 1, 1);
  return text + fmt::format("label at the read token: {} ({} ones, {} zeros)\n", example.labels.back(), ones,
                            seq_len_ - 1 - ones);
}

}  // namespace zoo
