#include "tasks/common/hidden_fact.h"

#include <algorithm>
#include <utility>

#include "zoo/core/error.h"

namespace zoo {

namespace {

constexpr std::int32_t mark = 10, ask = 11, first_filler = 12;

}  // namespace

HiddenFact::HiddenFact(std::string name, const Options& options, std::optional<std::int64_t> depth)
    : name_(std::move(name)),
      seq_len_(options.integer("seq_len")),
      digits_(options.integer("digits")),
      vocab_size_(options.integer("vocab_size")),
      repeated_filler_(options.text("filler") == "repeated"),
      depth_(depth) {
  if (places() >= 1) return;
  throw UsageError(
      "task {}: seq_len {} is too short for {} digits: the fact takes digits + 1 = {} tokens and the question {}; "
      "raise "
      "seq_len to {} or lower digits to {}",
      name_, seq_len_, digits_, digits_ + 1, digits_, 2 * digits_ + 1, (seq_len_ - 1) / 2);
}

OptionSchema HiddenFact::schema() {
  OptionSchema options;
  options.integer("seq_len", 1024, {3, 1 << 24}, "length T of an example")
      .integer("digits", 5, {1, 1 << 20}, "digits of the fact, each a label")
      .integer("vocab_size", 64, {first_filler + 1, 0x7FFFFFFF}, "tokens: 10 digits, 2 marks, the rest is filler")
      .choice("filler", "random", {"random", "repeated"},
              "random: uniform filler tokens; repeated: one text of all filler tokens again and again");
  return options;
}

void HiddenFact::generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const {
  RandomStream random = example_stream(name_, split, seed, index);
  const auto length = static_cast<std::size_t>(seq_len_);
  const auto digits = static_cast<std::ptrdiff_t>(digits_);
  const auto place = depth_ ? *depth_ * (places() - 1) / 100
                            : static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(places())));
  std::vector<std::int32_t>& tokens = example.tokens;
  tokens.resize(length);
  example.labels.assign(length, unlabelled);

  const auto answers = example.labels.end() - digits;
  std::generate(answers, example.labels.end(), [&] { return static_cast<std::int32_t>(random.below(10)); });
  // The filler is drawn last, so that the option about it changes nothing else.
  fill(tokens, random);
  const auto fact = tokens.begin() + static_cast<std::ptrdiff_t>(place);
  *fact = mark;
  std::copy(answers, example.labels.end(), fact + 1);
  const auto question = tokens.end() - digits;
  *question = ask;
  std::copy(answers, example.labels.end() - 1, question + 1);

  if (depth_) return;
  example.groups.assign(length, 0);
  std::fill(example.groups.end() - digits, example.groups.end(), static_cast<std::int32_t>(10 * place / places()));
}

void HiddenFact::fill(std::vector<std::int32_t>& tokens, RandomStream& random) const {
  const auto fillers = static_cast<std::uint64_t>(vocab_size_ - first_filler);
  std::uint64_t next = 0;
  for (std::int32_t& token : tokens) {
    if (!repeated_filler_) next = random.below(fillers);
    token = first_filler + static_cast<std::int32_t>(next);
    if (repeated_filler_ && ++next == fillers) next = 0;
  }
}

std::vector<Slice> HiddenFact::slices() const {
  std::vector<Slice> slices = {{"seq_len", seq_len_}};
  if (depth_) slices.push_back({"depth", *depth_});
  return slices;
}

std::vector<Slice> HiddenFact::groups() const {
  std::vector<Slice> groups;
  for (std::int64_t percent = 0; !depth_ && percent < 100; percent += 10) groups.push_back({"depth", percent});
  return groups;
}

std::string HiddenFact::describe(const Example& example) const {
  check_example(*this, example, 0);
  const auto fact = std::ranges::find(example.tokens, mark);
  if (fact == example.tokens.end() || example.tokens.end() - fact <= digits_) {
    throw Error("task {}: an example to describe has no fact, that is no token {} with {} digits behind it", name_,
                mark, digits_);
  }
  const std::int64_t place = fact - example.tokens.begin();
  return fmt::format(
      "{} tokens: digits 0 to 9, {} marks the fact, {} asks for it, {} to {} are filler\n"
      "fact at position {} (depth {}%): {}\n"
      "question at the last {} position{}: {}\n"
      "labels there:  {}\n"
      "filler begins: {} ...\n",
      seq_len_, mark, ask, first_filler, vocab_size_ - 1, place,
      depth_.value_or(100 * place / std::max<std::int64_t>(1, places() - 1)), fmt::join(fact, fact + 1 + digits_, " "),
      digits_, digits_ == 1 ? "" : "s", fmt::join(example.tokens.end() - digits_, example.tokens.end(), " "),
      fmt::join(example.labels.end() - digits_, example.labels.end(), " "),
      fmt::join(example.tokens.begin(), example.tokens.begin() + std::min<std::int64_t>(16, seq_len_), " "));
}

}  // namespace zoo
