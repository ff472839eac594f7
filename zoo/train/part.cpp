#include "zoo/train/part.h"

#include <algorithm>
#include <span>

namespace zoo {

namespace {

// Positions [begin, end) of sequences that are `length` rows of `width` values each.
template <typename Value>
Tensor cut(const std::vector<Value>& values, const Window& window, std::int64_t length, std::int64_t width,
           const Shape& shape) {
  if (window.begin == 0 && window.end == length) {
    return Tensor::from<Value>(shape,
                               std::span(values).subspan(static_cast<std::size_t>(window.first * length * width),
                                                         static_cast<std::size_t>(window.count * length * width)));
  }
  PoolVector<Value> all(static_cast<std::size_t>(shape.size()));
  const std::int64_t row = (window.end - window.begin) * width;
  for (std::int64_t i = 0; i < window.count; ++i) {
    const auto* from = values.data() + ((window.first + i) * length + window.begin) * width;
    std::copy(from, from + row, all.data() + i * row);
  }
  return Tensor::from<Value>(shape, all);
}

// The rows of one sequence that lie in the window, as a range of Batch::rows.
std::pair<std::int64_t, std::int64_t> rows_in(const Batch& batch, std::int64_t sequence, const Window& window) {
  const auto rows = std::span(batch.rows)
                        .subspan(static_cast<std::size_t>(batch.offsets[static_cast<std::size_t>(sequence)]),
                                 static_cast<std::size_t>(batch.offsets[static_cast<std::size_t>(sequence) + 1] -
                                                          batch.offsets[static_cast<std::size_t>(sequence)]));
  const auto place = [&](std::int64_t position) {
    const auto at = std::ranges::lower_bound(rows, static_cast<std::int32_t>(sequence * batch.seq_len + position));
    return batch.offsets[static_cast<std::size_t>(sequence)] + (at - rows.begin());
  };
  return {place(window.begin), place(window.end)};
}

// The labels that the rows [first, last) of a sequence answer: one each, or, where only ends are read, all of the
// example's whose last sequence this is.
std::pair<std::int64_t, std::int64_t> labels_of(const Batch& batch, std::int64_t sequence,
                                                std::pair<std::int64_t, std::int64_t> rows) {
  if (batch.rows.size() == batch.row_labels.size()) return rows;
  if (rows.first == rows.second || (sequence + 1) % batch.an_example != 0) return {0, 0};
  const auto example = static_cast<std::size_t>(sequence / batch.an_example);
  return {batch.label_offsets[example], batch.label_offsets[example + 1]};
}

}  // namespace

Part part_of(const Batch& batch, const Window& window) {
  const std::int64_t length = window.end - window.begin;
  std::int64_t rows = 0;
  std::int64_t labels = 0;
  for (std::int64_t i = 0; i < window.count; ++i) {
    const auto of_rows = rows_in(batch, window.first + i, window);
    const auto of_labels = labels_of(batch, window.first + i, of_rows);
    rows += of_rows.second - of_rows.first;
    labels += of_labels.second - of_labels.first;
  }
  Part part;
  part.inputs = batch.channels == 0
                    ? cut(batch.tokens, window, batch.seq_len, 1, {window.count, length})
                    : cut(batch.reals, window, batch.seq_len, batch.channels, {window.count, length, batch.channels});
  // Made here and given to the device at once.
  PoolVector<std::int32_t> index, offset, answers, positions;
  PoolVector<float> targets;
  index.reserve(static_cast<std::size_t>(rows));
  offset.reserve(static_cast<std::size_t>(window.count + 1));
  for (auto* each : {&answers, &positions}) each->reserve(static_cast<std::size_t>(labels));
  if (!batch.row_targets.empty()) targets.reserve(static_cast<std::size_t>(labels));
  offset.push_back(0);
  for (std::int64_t i = 0; i < window.count; ++i) {
    const auto of_rows = rows_in(batch, window.first + i, window);
    // Positions count from the window's first.
    const std::int64_t shift = (window.first + i) * batch.seq_len + window.begin - i * length;
    for (std::int64_t r = of_rows.first; r < of_rows.second; ++r) {
      index.push_back(static_cast<std::int32_t>(batch.rows[static_cast<std::size_t>(r)] - shift));
    }
    offset.push_back(static_cast<std::int32_t>(index.size()));
    const auto of_labels = labels_of(batch, window.first + i, of_rows);
    for (std::int64_t l = of_labels.first; l < of_labels.second; ++l) {
      const auto at = static_cast<std::size_t>(l);
      answers.push_back(batch.row_labels[at]);
      if (!batch.row_targets.empty()) targets.push_back(batch.row_targets[at]);
      positions.push_back(static_cast<std::int32_t>(l));
    }
  }
  part.rows.indices = Tensor::from<std::int32_t>({rows}, index);
  part.rows.offsets = Tensor::from<std::int32_t>({window.count + 1}, offset);
  part.answers.labels = Tensor::from<std::int32_t>({labels}, answers);
  if (!batch.row_targets.empty()) part.answers.targets = Tensor::from<float>({labels}, targets);
  part.positions = Tensor::from<std::int32_t>({labels}, positions);
  return part;
}

std::int64_t part_size(const Batch& batch, std::int64_t chunk, std::int64_t d_model) {
  constexpr std::int64_t values = std::int64_t{1} << 19;  // of one activation: 2 MiB; half and double are slower
  const std::int64_t examples = batch.batch / batch.an_example;
  const std::int64_t most = std::clamp<std::int64_t>(values / (batch.an_example * chunk * d_model), 1, examples);
  const std::int64_t parts = (examples + most - 1) / most;
  return (examples + parts - 1) / parts * batch.an_example;
}

}  // namespace zoo
