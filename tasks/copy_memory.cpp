// The copying memory task: Hochreiter & Schmidhuber 1997; in this layout Arjovsky et al. 2016, "Unitary Evolution
// Recurrent Neural Networks", section 5.1. The TCN form is that of Bai et al. 2018, "An Empirical Evaluation of Generic
// Convolutional and Recurrent Networks for Sequence Modeling". copy_memory.md, beside this file, shows both.

#include <algorithm>
#include <string>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::Split;

constexpr std::int32_t blank = 0;

class CopyMemory final : public zoo::Task {
 public:
  explicit CopyMemory(const zoo::Options& options)
      : seq_len_(options.integer("seq_len")),
        symbols_(options.integer("symbols")),
        vocab_size_(options.integer("vocab_size")),
        tcn_(options.text("form") == "tcn") {
    const std::int64_t needed = 2 * symbols_ + (tcn_ ? 1 : 0);
    if (seq_len_ < needed) {
      throw zoo::UsageError(
          "task copy_memory: seq_len {} is too short for {} symbols, which are shown and said again; raise seq_len to "
          "{} or lower symbols to {}",
          seq_len_, symbols_, needed, (seq_len_ - (tcn_ ? 1 : 0)) / 2);
    }
  }

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("copy_memory", split, seed, index);
    const auto symbols = static_cast<std::ptrdiff_t>(symbols_);
    std::vector<std::int32_t>& tokens = example.tokens;
    tokens.resize(static_cast<std::size_t>(seq_len_));
    std::generate_n(tokens.begin(), symbols, [&] {
      return 1 + static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocab_size_ - 2)));
    });
    const auto markers = tokens.end() - marker_count();
    std::fill(tokens.begin() + symbols, markers, blank);
    std::fill(markers, tokens.end(), marker());

    example.labels.assign(tokens.size(), tcn_ ? blank : zoo::unlabelled);
    std::copy_n(tokens.begin(), symbols, example.labels.end() - symbols);
    if (tcn_) {
      example.groups.assign(tokens.size(), 0);
      std::fill(example.groups.end() - symbols, example.groups.end(), 1);
    }
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}, {"symbols", symbols_}}; }
  std::vector<zoo::Slice> groups() const override {
    if (!tcn_) return {};
    return {{"recalled", 0}, {"recalled", 1}};
  }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    const std::int64_t markers = marker_count();
    return fmt::format(
        "{} tokens: symbols are 1 to {}, 0 is blank, {} the marker\n"
        "symbols:  {}\n"
        "then      {} blanks and {} marker{}\n"
        "labels:   {} at the last {} positions, {} elsewhere\n",
        seq_len_, vocab_size_ - 2, marker(), fmt::join(example.tokens.begin(), example.tokens.begin() + symbols_, " "),
        seq_len_ - symbols_ - markers, markers, markers == 1 ? "" : "s",
        fmt::join(example.labels.end() - symbols_, example.labels.end(), " "), symbols_, tcn_ ? "0" : "none");
  }

 private:
  std::int32_t marker() const { return static_cast<std::int32_t>(vocab_size_ - 1); }
  /// The TCN form begins to ask one position early.
  std::int64_t marker_count() const { return symbols_ + (tcn_ ? 1 : 0); }

  std::int64_t seq_len_, symbols_, vocab_size_;
  bool tcn_;
};

}  // namespace

ZOO_REGISTER_TASK(copy_memory) {
  zoo::OptionSchema options;
  options.integer("seq_len", 1020, {2, 1 << 24}, "length T of an example; the blanks are seq_len - 2 symbols long")
      .integer("symbols", 10, {1, 1 << 22}, "number M of symbols to remember")
      .integer("vocab_size", 10, {4, 1 << 20}, "alphabet A: 0 is blank, 1 to A-2 the symbols, A-1 the marker")
      .choice("form", "plain", {"plain", "tcn"}, "plain: labels on the last M positions; tcn: labels at all positions");
  return {.name = "copy_memory",
          .description = "copying memory: say the first symbols again after a long blank",
          .paper = "Arjovsky et al. 2016, Unitary Evolution Recurrent Neural Networks; TCN form: Bai et al. 2018",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<CopyMemory>(given); },
          .test_cases = {
              {{"seq_len", 40}, {"symbols", 16}},
              {{"seq_len", 64}, {"symbols", 24}, {"vocab_size", 6}, {"form", "tcn"}},
          }};
}
