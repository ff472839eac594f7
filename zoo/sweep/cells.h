#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace zoo {

struct Merged;

/// Examples of one kind: the options of the task that make them, and how many.
struct CellPart {
  nlohmann::json options;  ///< {"seq_len": 64, "kv_pairs": 4}, numbers or as given
  std::int64_t examples = 0;

  CellPart(nlohmann::json task_options, std::int64_t count) : options(std::move(task_options)), examples(count) {}
  /// MQAR's.
  CellPart(std::int64_t seq_len, std::int64_t kv_pairs, std::int64_t count)
      : CellPart({{"seq_len", seq_len}, {"kv_pairs", kv_pairs}}, count) {}
  bool operator==(const CellPart&) const = default;
};

/// What one run is trained and tested on; a mixture has several parts of each.
struct Cell {
  std::int64_t batch_size = 0;
  std::vector<CellPart> train;
  std::vector<CellPart> test;
  std::vector<CellPart> validation = {};  ///< what choices are made on; when empty, what test has
  bool operator==(const Cell&) const = default;
};

/// The cells that sources describe: a mixture (train, test), or pairs of seq-len and kv-pairs where they are given,
/// each with the options of train-option in training and, in tests, a part for each combination of the values of
/// test-option. Throws UsageError where lists do not fit together, or both ways are used.
std::vector<Cell> cells_of(const Merged& merged);

}  // namespace zoo
