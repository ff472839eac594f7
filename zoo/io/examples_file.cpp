#include "zoo/io/examples_file.h"

#include <optional>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {

void write_examples(const std::filesystem::path& path, const Task& task, Split split, std::uint64_t seed,
                    std::int64_t count, const SafetensorsMetadata& metadata) {
  // Wide values first, so that all are aligned.
  std::vector<SafetensorsInfo> tensors;
  for (const Slice& slice : task.slices()) tensors.push_back({"slice." + slice.name, "I64", {count}});
  tensors.push_back({"tokens", "I32", {count, task.seq_len()}});
  tensors.push_back({"labels", "I32", {count, task.seq_len()}});
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
  for (const auto values : {&Example::tokens, &Example::labels}) {
    for (std::int64_t i = 0; i < count; ++i) {
      task.generate(split, seed, static_cast<std::uint64_t>(i), example);
      writer->write(std::as_bytes(std::span(example.*values)));
    }
  }
  writer->commit();
}

}  // namespace zoo
