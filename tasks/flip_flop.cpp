// Flip-flop language modelling: Liu et al. 2023, "Exposing Attention Glitches with Flip-Flop Language Modeling",
// section 3. flip_flop.md, beside this file, documents it.

#include <string>
#include <vector>

#include "tasks/common/octaves.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace {

using zoo::Example;
using zoo::Split;

enum Token : std::int32_t { write, read, ignore, zero, one };

class FlipFlop final : public zoo::Task {
 public:
  explicit FlipFlop(const zoo::Options& options) : seq_len_(options.integer("seq_len")), p_i_(options.real("p_i")) {
    if (seq_len_ % 2 != 0) {
      throw zoo::UsageError("task flip_flop: seq_len {} is odd; it must be even, for example {}", seq_len_,
                            seq_len_ + 1);
    }
  }

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("flip_flop", split, seed, index);
    const auto length = static_cast<std::size_t>(seq_len_);
    example.tokens.resize(length);
    example.labels.assign(length, zoo::unlabelled);
    example.groups.assign(length, 0);
    std::int32_t memory = zero;
    std::size_t written_at = 0;
    for (std::size_t t = 0; t < length; t += 2) {
      // The lowest bit of a draw is the bit, its 53 highest choose the instruction.
      const std::uint64_t draw = random.next_u64();
      const Token instruction = t == 0 ? write : t + 2 == length ? read : instruction_of(draw);
      std::int32_t bit = (draw & 1) != 0 ? one : zero;
      if (instruction == write) {
        memory = bit;
        written_at = t;
      } else if (instruction == read) {
        bit = memory;
        example.labels[t] = memory;
        example.groups[t] = zoo::octave(static_cast<std::int64_t>(t - written_at)) - 1;
      }
      example.tokens[t] = instruction;
      example.tokens[t + 1] = bit;
    }
  }

  std::int64_t vocab_size() const override { return 5; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}}; }
  /// By the distance from a read back to the write that decides it, which is even and at least 2.
  std::vector<zoo::Slice> groups() const override {
    std::vector<zoo::Slice> octaves = zoo::octave_groups("distance", seq_len_ - 2);
    octaves.erase(octaves.begin());
    return octaves;
  }

  std::string describe(const Example& example) const override {
    check_example(*this, example, 0);
    constexpr std::size_t longest = 512;
    std::string text = fmt::format(
        "{} tokens: w 0, r 1, i 2, bit 0 is 3, bit 1 is 4; the label at r is the bit behind it\n", seq_len_);
    std::size_t reads = 0;
    for (std::size_t t = 0; t < example.tokens.size(); t += 2) {
      reads += example.labels[t] != zoo::unlabelled ? 1 : 0;
      if (t >= longest) continue;
      text += "wri01"[example.tokens[t]];
      text += "wri01"[example.tokens[t + 1]];
      text += t % 64 == 62 || t + 2 == example.tokens.size() ? '\n' : ' ';
    }
    if (example.tokens.size() > longest) text += fmt::format("... {} pairs in all\n", seq_len_ / 2);
    return text + fmt::format("{} read{}, the last {} tokens after its write\n", reads, reads == 1 ? "" : "s",
                              distance_of_last_read(example));
  }

 private:
  Token instruction_of(std::uint64_t draw) const {
    const double at = static_cast<double>(draw >> 11) * 0x1p-53;
    return at < p_i_ ? ignore : at < p_i_ + (1 - p_i_) / 2 ? write : read;
  }

  static std::size_t distance_of_last_read(const Example& example) {
    std::size_t written_at = 0;
    for (std::size_t t = 0; t < example.tokens.size(); t += 2) {
      if (example.tokens[t] == write) written_at = t;
    }
    return example.tokens.size() - 2 - written_at;
  }

  std::int64_t seq_len_;
  double p_i_;
};

}  // namespace

ZOO_REGISTER_TASK(flip_flop) {
  zoo::OptionSchema options;
  options.integer("seq_len", 512, {4, 1 << 24}, "length T of an example, twice the number of (instruction, bit) pairs")
      .real("p_i", 0.8, {0, 1}, "probability of ignore; write and read share the rest equally");
  return {.name = "flip_flop",
          .description = "flip-flop language: read the bit that was last written, through ignored ones",
          .paper = "Liu et al. 2023, Exposing Attention Glitches with Flip-Flop Language Modeling",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<FlipFlop>(given); },
          .test_cases = {{{"seq_len", 128}}, {{"seq_len", 64}, {"p_i", 0.1}}, {{"seq_len", 100}, {"p_i", 0.98}}}};
}
