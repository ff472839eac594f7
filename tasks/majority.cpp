// Majority of a sequence of bits: a count, which attention with equal weights computes and a finite state does not
// (Merrill et al. 2022, "Saturated Transformers are Constant-Depth Threshold Circuits"). majority.md, beside this file,
// documents it.

#include "tasks/common/bit_sequence.h"
#include "zoo/core/plugin.h"

namespace {

class Majority final : public zoo::BitSequence {
 public:
  explicit Majority(const zoo::Options& options) : BitSequence("majority", options) {}

 private:
  std::int32_t answer(std::int64_t ones, std::int64_t bits) const override { return 2 * ones > bits ? 1 : 0; }
};

}  // namespace

ZOO_REGISTER_TASK(majority) {
  return {.name = "majority",
          .description = "whether more than half of a sequence of bits are ones",
          .paper = "Merrill et al. 2022, Saturated Transformers are Constant-Depth Threshold Circuits",
          .options = zoo::BitSequence::schema(),
          .make = [](const zoo::Options& given) { return std::make_unique<Majority>(given); },
          .test_cases = {nlohmann::json::object(), {{"seq_len", 51}, {"cumulative", true}}}};
}
