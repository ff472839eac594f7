#include "runners/mad_grid.h"

#include <cstdint>
#include <initializer_list>

namespace zoo {

namespace {

using nlohmann::json;

constexpr std::int64_t train_examples = 12'800;

class Variants {
 public:
  explicit Variants(json base, std::int64_t examples = train_examples) : base_(std::move(base)), examples_(examples) {
    all_.emplace_back(base_, examples_);
  }
  template <typename Value>
  Variants& vary(const char* option, std::initializer_list<Value> values) {
    for (const Value& value : values) {
      json changed = base_;
      changed[option] = value;
      all_.emplace_back(changed, examples_);
    }
    return *this;
  }
  Variants& fewer_examples() {
    for (const std::int64_t examples : {6400, 3200, 1600, 800}) all_.emplace_back(base_, examples);
    return *this;
  }
  std::vector<CellPart> all() const { return all_; }

 private:
  json base_;
  std::int64_t examples_;
  std::vector<CellPart> all_;
};

}  // namespace

std::vector<MadTask> mad_grid(bool quick) {
  std::vector<MadTask> grid = {
      {"in_context_recall", Variants({{"vocab_size", 16}, {"seq_len", 128}})
                                .vary("vocab_size", {32, 64, 128})
                                .vary("seq_len", {256, 512, 1024})
                                .fewer_examples()
                                .all()},
      {"noisy_recall", Variants({{"vocab_size", 32}, {"seq_len", 128}, {"frac_noise", 0.2}})
                           .vary("vocab_size", {48, 80, 144})
                           .vary("seq_len", {256, 512, 1024})
                           .vary("frac_noise", {0.4, 0.6, 0.8})
                           .fewer_examples()
                           .all()},
      {"fuzzy_recall", Variants({{"vocab_size", 16}, {"seq_len", 128}})
                           .vary("vocab_size", {32, 64, 128})
                           .vary("seq_len", {256, 512, 1024})
                           .fewer_examples()
                           .all()},
      {"selective_copying", Variants({{"vocab_size", 16}, {"seq_len", 256}, {"num_tokens_to_copy", 16}})
                                .vary("vocab_size", {32, 64, 128})
                                .vary("seq_len", {512, 1024})
                                .vary("num_tokens_to_copy", {32, 64, 96})
                                .fewer_examples()
                                .all()},
      {"compression", Variants({{"vocab_size", 16}, {"seq_len", 32}})
                          .vary("vocab_size", {32, 64, 128})
                          .vary("seq_len", {64, 128, 256})
                          .fewer_examples()
                          .all()},
      {"memorization", Variants({{"vocab_size", 256}}, 256).vary("vocab_size", {512, 1024, 2048, 4096, 8192}).all()},
  };
  if (quick) {
    for (MadTask& task : grid) task.variants.erase(task.variants.begin() + 1, task.variants.end());
  }
  return grid;
}

}  // namespace zoo
