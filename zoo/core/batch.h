#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "zoo/core/task.h"

namespace zoo {

/// The sequences of examples of one length, flattened to B*T positions, with the labelled positions picked out. Meant
/// to be kept and filled again: its memory is reused.
struct Batch {
  std::int64_t batch = 0;                ///< B, sequences
  std::int64_t seq_len = 0;              ///< T, positions of a sequence
  std::int64_t an_example = 1;           ///< sequences of an example, neighbours: B / an_example = E examples
  std::int64_t channels = 0;             ///< C, 0 when the inputs are tokens
  std::vector<std::int32_t> tokens;      ///< [B*T], or empty
  std::vector<float> reals;              ///< [B*T*C], or empty
  std::vector<std::int32_t> labels;      ///< [B*T], `unlabelled` where not scored
  std::vector<std::int32_t> rows;        ///< [R], the positions b*T + t whose outputs the head reads, ascending: the
                                         ///< labelled ones; for a decoder or a pair the last of each sequence
  std::vector<std::int32_t> offsets;     ///< [B+1], the rows of sequence b are rows[offsets[b]] .. rows[offsets[b+1]-1]
  std::vector<std::int32_t> row_labels;  ///< [L], the labels in order; L = R but for a decoder or a pair
  std::vector<std::int32_t> label_offsets;  ///< [E+1], where each example's labels begin
  std::vector<float> row_targets;           ///< [L] for regression, or empty
  std::vector<std::int32_t> row_groups;     ///< [L] for a task with groups, or empty

  Example example;  ///< where fill_batch lets the task write one example after another
};

/// Makes `batch` hold the examples `indices` of a split, in that order. Allocates nothing once `batch` has held as many
/// positions and labels before. Throws Error when B*T does not fit in 32 bits, or when the task breaks its word
/// (check_example), naming the example.
void fill_batch(const Task& task, Split split, std::uint64_t seed, std::span<const std::uint64_t> indices,
                Batch& batch);

/// The order in which an epoch sees its examples: a uniform permutation of 0 .. count-1 that depends on seed and epoch
/// alone.
std::vector<std::uint64_t> epoch_order(std::uint64_t seed, std::uint64_t epoch, std::uint64_t count);

}  // namespace zoo
