#include "zoo/core/batch.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/random.h"

namespace zoo {

namespace {

// A wrong token would make an embedding read outside its table; better to name the task's mistake here.
void check_example(const Task& task, const Example& example, std::uint64_t index) {
  const auto length = static_cast<std::size_t>(task.seq_len());
  if (example.tokens.size() != length || example.labels.size() != length) {
    throw Error("example {} of the task has {} tokens and {} labels; its seq_len is {}", index, example.tokens.size(),
                example.labels.size(), length);
  }
  const std::int64_t vocab_size = task.vocab_size();
  for (std::size_t t = 0; t < length; ++t) {
    const std::int32_t token = example.tokens[t], label = example.labels[t];
    if (token < 0 || token >= vocab_size || ((label < 0 || label >= vocab_size) && label != unlabelled)) {
      throw Error("example {} of the task has token {} and label {} at position {}; its vocab_size is {}", index, token,
                  label, t, vocab_size);
    }
  }
}

}  // namespace

void fill_batch(const Task& task, Split split, std::uint64_t seed, std::span<const std::uint64_t> indices,
                Batch& batch) {
  const auto length = static_cast<std::size_t>(task.seq_len());
  if (length > 0 && indices.size() > std::numeric_limits<std::int32_t>::max() / length) {
    throw Error("a batch of {} sequences of {} tokens has more than 2^31 - 1 positions; use a smaller batch",
                indices.size(), length);
  }
  batch.batch = static_cast<std::int64_t>(indices.size());
  batch.seq_len = task.seq_len();
  batch.tokens.resize(indices.size() * length);
  batch.labels.resize(indices.size() * length);
  batch.offsets.resize(indices.size() + 1);
  batch.offsets[0] = 0;
  batch.rows.clear();
  batch.row_labels.clear();
  Example& example = batch.example;
  for (std::size_t b = 0; b < indices.size(); ++b) {
    task.generate(split, seed, indices[b], example);
    check_example(task, example, indices[b]);
    const std::size_t first = b * length;
    std::ranges::copy(example.tokens, batch.tokens.begin() + static_cast<std::ptrdiff_t>(first));
    std::ranges::copy(example.labels, batch.labels.begin() + static_cast<std::ptrdiff_t>(first));
    for (std::size_t t = 0; t < length; ++t) {
      if (example.labels[t] == unlabelled) continue;
      batch.rows.push_back(static_cast<std::int32_t>(first + t));
      batch.row_labels.push_back(example.labels[t]);
    }
    batch.offsets[b + 1] = static_cast<std::int32_t>(batch.rows.size());
  }
}

std::vector<std::uint64_t> epoch_order(std::uint64_t seed, std::uint64_t epoch, std::uint64_t count) {
  std::vector<std::uint64_t> order(count);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  RandomStream random(RandomKey::of(seed, "epoch order").fold(epoch));
  // Fisher and Yates: position i gets one of the items not yet placed after it.
  for (std::uint64_t remaining = count; remaining > 1; --remaining) {
    std::swap(order[remaining - 1], order[random.below(remaining)]);
  }
  return order;
}

}  // namespace zoo
