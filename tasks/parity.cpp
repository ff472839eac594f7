// Parity of a sequence of bits: one bit of state suffices, and attention of a fixed number of layers has less and less
// of a grip on it the longer the sequence is (Hahn 2020, "Theoretical Limitations of Self-Attention in Neural Sequence
// Models"). parity.md, beside this file, documents it.

#include "tasks/common/bit_sequence.h"
#include "zoo/core/plugin.h"

namespace {

class Parity final : public zoo::BitSequence {
 public:
  explicit Parity(const zoo::Options& options) : BitSequence("parity", options) {}

 private:
  std::int32_t answer(std::int64_t ones, std::int64_t) const override { return static_cast<std::int32_t>(ones % 2); }
};

}  // namespace

ZOO_REGISTER_TASK(parity) {
  return {.name = "parity",
          .description = "parity of a sequence of bits",
          .paper = "Hahn 2020, Theoretical Limitations of Self-Attention in Neural Sequence Models",
          .options = zoo::BitSequence::schema(),
          .make = [](const zoo::Options& given) { return std::make_unique<Parity>(given); },
          .test_cases = {nlohmann::json::object(), {{"seq_len", 51}, {"cumulative", true}}}};
}
