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
  Tensor result = Tensor::empty(shape, dtype_of<Value>);
  const std::int64_t row = (window.end - window.begin) * width;
  for (std::int64_t i = 0; i < window.count; ++i) {
    const auto* from = values.data() + ((window.first + i) * length + window.begin) * width;
    std::copy(from, from + row, result.data<Value>() + i * row);
  }
  return result;
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
  part.rows.indices = Tensor::empty({rows}, DType::i32);
  part.rows.offsets = Tensor::empty({window.count + 1}, DType::i32);
  part.answers.labels = Tensor::empty({labels}, DType::i32);
  if (!batch.row_targets.empty()) part.answers.targets = Tensor::empty({labels}, DType::f32);
  part.positions = Tensor::empty({labels}, DType::i32);

  auto* index = part.rows.indices.data<std::int32_t>();
  auto* offset = part.rows.offsets.data<std::int32_t>();
  std::int64_t row = 0;
  std::int64_t label = 0;
  *offset++ = 0;
  for (std::int64_t i = 0; i < window.count; ++i) {
    const auto of_rows = rows_in(batch, window.first + i, window);
    // Positions count from the window's first.
    const std::int64_t shift = (window.first + i) * batch.seq_len + window.begin - i * length;
    for (std::int64_t r = of_rows.first; r < of_rows.second; ++r) {
      index[row++] = static_cast<std::int32_t>(batch.rows[static_cast<std::size_t>(r)] - shift);
    }
    *offset++ = static_cast<std::int32_t>(row);
    const auto of_labels = labels_of(batch, window.first + i, of_rows);
    for (std::int64_t l = of_labels.first; l < of_labels.second; ++l, ++label) {
      const auto at = static_cast<std::size_t>(l);
      part.answers.labels.data<std::int32_t>()[label] = batch.row_labels[at];
      if (!batch.row_targets.empty()) part.answers.targets.data<float>()[label] = batch.row_targets[at];
      part.positions.data<std::int32_t>()[label] = static_cast<std::int32_t>(l);
    }
  }
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
