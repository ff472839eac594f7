#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/io/safetensors.h"

namespace zoo {

namespace {

// The header's JSON with its length before it, padded with blanks so that values begin at a multiple of 8.
std::string header(const std::filesystem::path& path, const std::vector<SafetensorsInfo>& tensors,
                   const SafetensorsMetadata& metadata, std::uint64_t& total) {
  auto entries = nlohmann::ordered_json::object();
  if (!metadata.empty()) entries["__metadata__"] = metadata;
  std::set<std::string> names = {"__metadata__"};
  total = 0;
  for (const SafetensorsInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      throw Error("cannot write '{}': the tensor name '{}' is taken", path.string(), tensor.name);
    }
    const std::optional<std::uint64_t> bytes = safetensors_bytes(tensor);
    if (!bytes || *bytes > std::uint64_t{INT64_MAX} - total) {
      throw Error("cannot write '{}': tensor '{}' has dtype '{}' and shape [{}]; dtypes are {}, extents at least 0",
                  path.string(), tensor.name, tensor.dtype, fmt::join(tensor.shape, ", "), safetensors_dtypes());
    }
    entries[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {total, total + *bytes}}};
    total += *bytes;
  }
  std::string text;
  try {
    text = entries.dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error("cannot write '{}': a name or its metadata is not UTF-8 ({})", path.string(), error.what());
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::vector<SafetensorsInfo>& tensors,
                                     const SafetensorsMetadata& metadata)
    : file_(path) {
  file_.write(header(path, tensors, metadata, announced_));
}

void SafetensorsWriter::write(std::span<const std::byte> values) {
  if (values.size() > announced_ - written_) {
    throw Error("more bytes were written to a safetensors file than the {} its header announces", announced_);
  }
  file_.write(values);
  written_ += values.size();
}

void SafetensorsWriter::commit() {
  if (written_ != announced_) {
    throw Error("{} bytes were written to a safetensors file; its header announces {}", written_, announced_);
  }
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, std::vector<SafetensorsEntry> entries,
                       const SafetensorsMetadata& metadata) {
  std::ranges::stable_sort(entries, std::ranges::greater(),
                           [](const SafetensorsEntry& entry) { return safetensors_dtype_size(entry.info.dtype); });
  std::vector<SafetensorsInfo> tensors;
  for (const SafetensorsEntry& entry : entries) {
    if (const auto bytes = safetensors_bytes(entry.info); bytes && *bytes != entry.values.size()) {
      throw Error("cannot write '{}': tensor '{}' of dtype {} and shape [{}] needs {} bytes, not {}", path.string(),
                  entry.info.name, entry.info.dtype, fmt::join(entry.info.shape, ", "), *bytes, entry.values.size());
    }
    tensors.push_back(entry.info);
  }
  SafetensorsWriter writer(path, tensors, metadata);
  for (const SafetensorsEntry& entry : entries) writer.write(entry.values);
  writer.commit();
}

}  // namespace zoo
