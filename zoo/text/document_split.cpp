#include "zoo/text/document_split.h"

#include "zoo/core/random.h"

namespace zoo {

DocumentSplit::DocumentSplit(double fraction, std::uint64_t seed, std::int64_t documents)
    : fraction_(fraction), seed_(seed) {
  if (documents < 2 || fraction == 0) return;
  std::int64_t least = 0;
  std::int64_t most = 0;
  for (std::int64_t i = 1; i < documents; ++i) {
    if (draw(i) < draw(least)) least = i;
    if (draw(i) > draw(most)) most = i;
  }
  always_validation_ = least;
  always_train_ = most;
}

double DocumentSplit::draw(std::int64_t document) const {
  return RandomStream(RandomKey::of(seed_, "zoo lm prepare/split").fold(static_cast<std::uint64_t>(document)))
      .uniform();
}

Split DocumentSplit::of(std::int64_t document) const {
  if (document == always_validation_) return Split::validation;
  if (document == always_train_) return Split::train;
  return draw(document) < fraction_ ? Split::validation : Split::train;
}

}  // namespace zoo
