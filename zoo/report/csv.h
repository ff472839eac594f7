#pragma once

#include <span>
#include <string>
#include <vector>

#include "zoo/io/store.h"

namespace zoo::report {

/// A line of CSV, quoted as in RFC 4180 where that is needed and ended by LF.
std::string csv_line(const std::vector<std::string>& fields);

/// results.csv (quoted as in RFC 4180, lines ended by LF): a row a run and slice of the test split, in the order in
/// which the runs started. A run without slices (failed, interrupted, running) has one row with empty figures. Columns:
/// run_id, layer, layer_options (compact JSON: the layer's options by name; of a hybrid, by layer and name), d_model,
/// lr, seed, seq_len, kv_pairs, accuracy, loss, parameters, state_bytes, flops, epochs, train_seconds, status; and,
/// where they were recorded, task, slice (compact JSON: every option that makes it), class_accuracy, sequence_accuracy.
std::string results_csv(std::span<const Run> runs);

}  // namespace zoo::report
