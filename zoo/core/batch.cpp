#include "zoo/core/batch.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/random.h"

namespace zoo {

namespace {

template <typename Value>
void append(std::vector<Value>& all, const std::vector<Value>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

void fill_batch(const Task& task, Split split, std::uint64_t seed, std::span<const std::uint64_t> indices,
                Batch& batch) {
  const auto length = static_cast<std::size_t>(task.seq_len());
  if (length > 0 && indices.size() > std::numeric_limits<std::int32_t>::max() / length) {
    throw Error("a batch of {} sequences of {} tokens has more than 2^31 - 1 positions; use a smaller batch",
                indices.size(), length);
  }
  const HeadKind head = task.head().kind;
  batch.an_example = sequences_an_example(head);
  batch.batch = std::ssize(indices) * batch.an_example;
  batch.seq_len = task.seq_len() / batch.an_example;
  batch.channels = task.input_channels();
  const auto sequence = static_cast<std::size_t>(batch.seq_len);
  const bool reads_ends = head == HeadKind::decoder || head == HeadKind::pair;
  for (auto* values : {&batch.tokens, &batch.labels, &batch.rows, &batch.row_labels, &batch.row_groups})
    values->clear();
  for (auto* values : {&batch.reals, &batch.row_targets}) values->clear();
  batch.offsets.assign(1, 0);
  batch.label_offsets.assign(1, 0);
  Example& example = batch.example;
  // Another task may have left what this one does not use.
  for (auto* values : {&example.tokens, &example.groups}) values->clear();
  for (auto* values : {&example.reals, &example.targets}) values->clear();
  for (std::size_t b = 0; b < indices.size(); ++b) {
    task.generate(split, seed, indices[b], example);
    check_example(task, example, indices[b]);
    append(batch.tokens, example.tokens);
    append(batch.reals, example.reals);
    append(batch.labels, example.labels);
    for (std::size_t t = 0; t < length; ++t) {
      const bool labelled = example.labels[t] != unlabelled;
      if (reads_ends ? (t + 1) % sequence == 0 : labelled) {
        batch.rows.push_back(static_cast<std::int32_t>(b * length + t));
      }
      if ((t + 1) % sequence == 0) batch.offsets.push_back(static_cast<std::int32_t>(batch.rows.size()));
      if (!labelled) continue;
      batch.row_labels.push_back(example.labels[t]);
      if (!example.targets.empty()) batch.row_targets.push_back(example.targets[t]);
      if (!example.groups.empty()) batch.row_groups.push_back(example.groups[t]);
    }
    batch.label_offsets.push_back(static_cast<std::int32_t>(batch.row_labels.size()));
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
