#pragma once

#include <cstdint>
#include <filesystem>

#include "zoo/core/task.h"
#include "zoo/io/safetensors.h"

namespace zoo {

/// Writes examples 0 .. count-1 of a split to a safetensors file, so that other tools can use the data: `tokens` [N,T],
/// I32, or where inputs are real `reals` [N,T,C], F32; `labels` [N,T], I32, -100 (`unlabelled`) where a position is not
/// scored; for a regression `targets` [N,T], F32; for a task with groups `groups` [N,T], I32; and for each slice of the
/// task `slice.NAME` [N], I64. Examples are made again for each of these rather than kept, so memory does not grow with
/// count.
/// Throws UsageError, before anything is written, when the split has fewer examples or the path cannot be opened for
/// writing; Error when writing fails.
void write_examples(const std::filesystem::path& path, const Task& task, Split split, std::uint64_t seed,
                    std::int64_t count, const SafetensorsMetadata& metadata = {});

}  // namespace zoo
