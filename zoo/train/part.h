#pragma once

#include <cstdint>

#include "zoo/core/batch.h"
#include "zoo/nn/head.h"
#include "zoo/nn/layer.h"

namespace zoo {

/// A range of sequences of a batch, whole examples, and a range of their positions, as the model reads them.
struct Window {
  std::int64_t first = 0;  ///< sequences [first, first + count)
  std::int64_t count = 0;
  std::int64_t begin = 0;  ///< positions [begin, end)
  std::int64_t end = 0;
};

/// What a window holds, as tensors.
struct Part {
  Tensor inputs;     ///< i32 [count, end-begin], or f32 [count, end-begin, C]
  Rows rows;         ///< counted from the window's own first position
  Answers answers;   ///< of the rows
  Tensor positions;  ///< i32 [L], which of the batch's labels (Batch::row_labels) each of the answers' is
};

Part part_of(const Batch& batch, const Window& window);

/// How many sequences of a batch are worked on at a time, `chunk` positions of each: whole examples. A batch is cut so
/// that a block's activations stay in the cache from one op to the next; the cut depends on sizes alone, never on the
/// number of threads.
std::int64_t part_size(const Batch& batch, std::int64_t chunk, std::int64_t d_model);

}  // namespace zoo
