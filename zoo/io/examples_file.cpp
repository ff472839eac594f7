#include "zoo/io/examples_file.h"

#include <optional>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {

void write_examples(const std::filesystem::path& path, const Task& task, Split split, std::uint64_t seed,
                    std::int64_t count, const SafetensorsMetadata& metadata) {
  check_example_count(task, split, static_cast<std::uint64_t>(count));
  // Wide values first, so that all are aligned.
  std::vector<SafetensorsInfo> tensors;
  for (const Slice& slice : task.slices()) tensors.push_back({"slice." + slice.name, "I64", {count}});
  const std::vector<std::int64_t> shape = {count, task.seq_len()};
  const std::int64_t channels = task.input_channels();
  const bool has_targets = task.head().kind == HeadKind::regression, has_groups = !task.groups().empty();
  if (channels == 0) tensors.push_back({"tokens", "I32", shape});
  if (channels > 0) tensors.push_back({"reals", "F32", {count, task.seq_len(), channels}});
  tensors.push_back({"labels", "I32", shape});
  if (has_targets) tensors.push_back({"targets", "F32", shape});
  if (has_groups) tensors.push_back({"groups", "I32", shape});
  std::optional<SafetensorsWriter> writer;
  try {
    writer.emplace(path, tensors, metadata);
  } catch (const Error& error) {
    throw UsageError("{}", error.what());
  }

  for (const Slice& slice : task.slices()) {
    for (std::int64_t i = 0; i < count; ++i) writer->write(std::as_bytes(std::span(&slice.value, 1)));
  }
  Example example;
  const auto write = [&](auto Example::*values) {
    for (std::int64_t i = 0; i < count; ++i) {
      task.generate(split, seed, static_cast<std::uint64_t>(i), example);
      writer->write(std::as_bytes(std::span(example.*values)));
    }
  };
  if (channels == 0) write(&Example::tokens);
  if (channels > 0) write(&Example::reals);
  write(&Example::labels);
  if (has_targets) write(&Example::targets);
  if (has_groups) write(&Example::groups);
  writer->commit();
}

}  // namespace zoo
