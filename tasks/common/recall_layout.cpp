#include "tasks/common/recall_layout.h"

#include <fmt/format.h>

#include <utility>

#include "zoo/core/error.h"

namespace zoo::tasks {

void check_even_length(const std::string& task, std::int64_t seq_len) {
  if (seq_len % 2 == 0) return;
  throw UsageError("task {}: seq_len {} is odd; it must be even, for example {}", task, seq_len, seq_len + 1);
}

RecallLayout::RecallLayout(std::string task, std::int64_t vocab_size, std::int64_t seq_len, std::int64_t pairs,
                           std::int64_t queries, double alpha, Filler filler)
    : task_(std::move(task)),
      vocab_size_(vocab_size),
      seq_len_(seq_len),
      context_length_(2 * pairs),
      queries_(queries),
      filler_(filler),
      gaps_(checked_gaps(task_, vocab_size, seq_len, pairs, queries), alpha) {}

/// The number of places a query can take, once the settings are known to fit together.
std::int64_t RecallLayout::checked_gaps(const std::string& task, std::int64_t vocab_size, std::int64_t seq_len,
                                        std::int64_t pairs, std::int64_t queries) {
  check_even_length(task, seq_len);
  const std::int64_t needed = 2 * pairs + 2 * queries;
  if (needed > seq_len) {
    throw UsageError(
        "task {}: seq_len {} is too short: the context of {} pairs takes {} positions and {} queries need {} more; "
        "raise seq_len to {}",
        task, seq_len, pairs, 2 * pairs, queries, 2 * queries, needed);
  }
  if (vocab_size <= seq_len) {
    throw UsageError("task {}: vocab_size {} must be greater than seq_len {}; raise it to {} or more", task, vocab_size,
                     seq_len, seq_len + 1);
  }
  return (seq_len - 2 * pairs) / 2;
}

void RecallLayout::draw(std::int64_t keys, std::int64_t values, RandomStream& random, RecallScratch& memory) const {
  memory.taken.reserve(vocab_size_);
  draw_distinct(keys, 1, first_value(), random, memory.taken, memory.keys);
  draw_distinct(values, first_value(), vocab_size_, random, memory.taken, memory.values);
  gaps_.draw(queries_, random, memory.left_weights, memory.gaps);
  memory.taken.erase(memory.values);
}

void RecallLayout::write_filler(RandomStream& random, RecallScratch& memory, Example& example) const {
  const auto length = static_cast<std::size_t>(seq_len_);
  example.labels.assign(length, unlabelled);
  example.tokens.resize(length);
  const bool collisions = filler_ == Filler::random_with_key_collisions;
  for (auto position = static_cast<std::size_t>(context_length_); position < length; ++position) {
    std::int32_t token = 0;
    if (filler_ != Filler::zero) {
      do {
        token = draw_token(0, vocab_size_, random);
      } while (!collisions && memory.taken.contains(token));
    }
    example.tokens[position] = token;
  }
  memory.taken.erase(memory.keys);
}

std::string RecallLayout::describe_tokens() const {
  return fmt::format("{} tokens: keys are 1 to {}, values {} to {}\n", seq_len_, first_value() - 1, first_value(),
                     vocab_size_ - 1);
}

std::string RecallLayout::describe_filler(std::int64_t queries) const {
  const char* const what = filler_ == Filler::zero     ? "all 0"
                           : filler_ == Filler::random ? "random tokens other than the keys above"
                                                       : "random tokens, live keys among them";
  return fmt::format("filler: {} positions, {}\n", seq_len_ - context_length_ - queries, what);
}

void RecallLayout::check_length(const Example& example) const {
  if (std::ssize(example.tokens) == seq_len_ && std::ssize(example.labels) == seq_len_) return;
  throw Error("task {}: an example to describe has {} tokens and {} labels; expected seq_len {} of each", task_,
              example.tokens.size(), example.labels.size(), seq_len_);
}

}  // namespace zoo::tasks
