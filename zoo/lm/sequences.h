#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "zoo/text/corpus.h"

namespace zoo {

/// A split of a corpus cut into sequences: sequence i is the tokens i T .. (i+1) T, T + 1 of them, of which a model
/// reads the first T and is asked for the last T. Neighbours share one token; what is left at the end is not used.
class Sequences {
 public:
  /// Of T = `context` tokens. Throws UsageError when the split has fewer than T + 1.
  Sequences(const Corpus& corpus, Split split, std::int64_t context);

  std::int64_t count() const { return count_; }
  std::int64_t context() const { return context_; }
  /// Copies sequence `index` into tokens [T+1].
  void read(std::int64_t index, std::span<std::int32_t> tokens) const;

 private:
  const Corpus* corpus_;
  Split split_;
  std::int64_t context_;
  std::int64_t count_;
};

/// Which sequence training sees when: every epoch has all of them, each in an order of its own that depends on the seed
/// alone, so that two runs with one seed see the same data whatever the layer, the micro-batch or the number of
/// processes.
class DataOrder {
 public:
  DataOrder(std::uint64_t seed, std::int64_t sequences) : seed_(seed), sequences_(sequences) {}

  /// The sequence at `place` of training, from 0.
  std::int64_t at(std::int64_t place);

 private:
  std::uint64_t seed_;
  std::int64_t sequences_;
  std::int64_t epoch_ = -1;
  std::vector<std::uint64_t> order_;
};

/// What the tokens of a sequence add to the hash of all that training has seen. The hash of a run is the sum (modulo
/// 2^64) over its sequences, so that it does not matter which process saw which; the place makes order count.
std::uint64_t hash_sequence(std::span<const std::int32_t> tokens, std::int64_t place);

}  // namespace zoo
