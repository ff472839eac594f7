#include "zoo/lm/sequences.h"

#include <xxhash.h>

#include "zoo/core/batch.h"
#include "zoo/core/error.h"

namespace zoo {

Sequences::Sequences(const Corpus& corpus, Split split, std::int64_t context)
    : corpus_(&corpus), split_(split), context_(context) {
  const std::int64_t tokens = corpus.tokens(split);
  if (tokens < context + 1) {
    throw UsageError(
        "the corpus has {} {} tokens, too few for one sequence of {} + 1; use a shorter --context or more "
        "text",
        tokens, split_name(split), context);
  }
  count_ = (tokens - 1) / context;
}

void Sequences::read(std::int64_t index, std::span<std::int32_t> tokens) const {
  corpus_->read(split_, index * context_, tokens);
}

std::int64_t DataOrder::at(std::int64_t place) {
  const std::int64_t epoch = place / sequences_;
  if (epoch != epoch_) {
    order_ = epoch_order(seed_, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(sequences_));
    epoch_ = epoch;
  }
  return static_cast<std::int64_t>(order_[static_cast<std::size_t>(place % sequences_)]);
}

std::uint64_t hash_sequence(std::span<const std::int32_t> tokens, std::int64_t place) {
  return XXH3_64bits_withSeed(tokens.data(), tokens.size_bytes(), static_cast<std::uint64_t>(place));
}

}  // namespace zoo
