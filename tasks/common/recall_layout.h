#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tasks/common/distinct_tokens.h"
#include "tasks/common/query_gaps.h"
#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace zoo::tasks {

/// What stands at positions that are neither context nor query.
enum class Filler {
  zero,                        ///< token 0
  random,                      ///< uniform tokens, but for the example's keys
  random_with_key_collisions,  ///< uniform tokens
};

/// Memory for the making of one example, kept by each thread: generating allocates nothing in the steady state.
struct RecallScratch {
  TokenSet taken;  ///< empty between examples
  std::vector<std::int32_t> keys, values, gaps;
  std::vector<std::uint64_t> left_weights;
};

/// What mqar, forgetting and compositional have in common. With vocabulary size V and length T, keys are tokens 1 to
/// V/2 - 1, values V/2 to V - 1; a context of `key value` pairs is followed by queries at context + 2 gap, where the
/// input is a key and the label at the same position its value; elsewhere is filler.
class RecallLayout {
 public:
  /// `pairs` are written in the context, `queries` asked. Throws UsageError, naming the task, unless T is even, leaves
  /// room for them, and is less than V: then there are pairs + queries keys, and as many values, or more. A task with
  /// more to say about the room checks that before.
  RecallLayout(std::string task, std::int64_t vocab_size, std::int64_t seq_len, std::int64_t pairs,
               std::int64_t queries, double alpha, Filler filler);

  std::int64_t vocab_size() const { return vocab_size_; }
  std::int64_t seq_len() const { return seq_len_; }
  std::int64_t first_value() const { return vocab_size_ / 2; }
  std::int64_t context_length() const { return context_length_; }

  /// Draws different keys, different values and a gap for each query, in this order.
  void draw(std::int64_t keys, std::int64_t values, RandomStream& random, RecallScratch& memory) const;
  /// Sizes the example's tokens and labels, writes filler behind the context (what draws last, so that it changes
  /// nothing else) and leaves every position unlabelled. Ends an example: `memory.taken` is empty again.
  void write_filler(RandomStream& random, RecallScratch& memory, Example& example) const;
  /// The position of a query.
  std::size_t query(std::int32_t gap) const {
    return static_cast<std::size_t>(context_length_ + 2 * std::int64_t{gap});
  }

  /// The first line of a description: the ranges of tokens.
  std::string describe_tokens() const;
  /// The last line: how many positions are filler, and what it is.
  std::string describe_filler(std::int64_t queries) const;
  /// Throws Error unless the example has T tokens and labels.
  void check_length(const Example& example) const;

 private:
  static std::int64_t checked_gaps(const std::string& task, std::int64_t vocab_size, std::int64_t seq_len,
                                   std::int64_t pairs, std::int64_t queries);

  std::string task_;
  std::int64_t vocab_size_, seq_len_, context_length_, queries_;
  Filler filler_;
  QueryGaps gaps_;
};

/// Throws UsageError when `seq_len` is odd.
void check_even_length(const std::string& task, std::int64_t seq_len);

}  // namespace zoo::tasks
