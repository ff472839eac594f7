// Compression: Poli et al. 2024, "Mechanistic Design and Scaling of Hybrid Architectures" (MAD), section 3.1.
// compression.md, beside this file, documents the layout, the labels and the head.

#include <string>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/token_grid.h"
#include "zoo/core/plugin.h"

namespace {

using zoo::Example;

class Compression final : public zoo::Task {
 public:
  explicit Compression(const zoo::Options& options)
      : vocab_size_(options.integer("vocab_size")), seq_len_(options.integer("seq_len")) {}

  void generate(zoo::Split split, std::uint64_t seed, std::uint64_t index, Example& example) const override {
    zoo::RandomStream random = zoo::example_stream("compression", split, seed, index);
    example.tokens.resize(static_cast<std::size_t>(seq_len_));
    for (std::int32_t& token : example.tokens) token = zoo::tasks::draw_token(0, compression_token(), random);
    example.tokens.back() = compression_token();
    example.labels = example.tokens;
  }

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t seq_len() const override { return seq_len_; }
  std::vector<zoo::Slice> slices() const override { return {{"seq_len", seq_len_}, {"vocab_size", vocab_size_}}; }
  zoo::HeadSpec head() const override { return {zoo::HeadKind::decoder, vocab_size_}; }
  std::string describe(const Example& example) const override {
    return fmt::format("{} tokens of 0 to {}, then the compression token c: its vector must tell all of them\n",
                       seq_len_ - 1, vocab_size_ - 2) +
           zoo::tasks::token_grid("compression", example, seq_len_, [&](std::int32_t token) {
             return token == compression_token() ? "c" : std::to_string(token);
           });
  }

 private:
  std::int32_t compression_token() const { return static_cast<std::int32_t>(vocab_size_ - 1); }

  std::int64_t vocab_size_, seq_len_;
};

}  // namespace

ZOO_REGISTER_TASK(compression) {
  zoo::OptionSchema options;
  options.integer("vocab_size", 16, {3, 1 << 24}, "tokens; the last stands at the end, the others are to be told")
      .integer("seq_len", 32, {2, 1 << 24}, "length T of an example, the last token included");
  return {.name = "compression",
          .description = "tell a whole sequence of random tokens from the vector at its last position",
          .paper = "Poli et al. 2024, Mechanistic Design and Scaling of Hybrid Architectures",
          .options = options,
          .make = [](const zoo::Options& given) { return std::make_unique<Compression>(given); },
          .test_cases = {nlohmann::json::object(), {{"vocab_size", 128}, {"seq_len", 9}}}};
}
