#include "zoo/io/safetensors.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "zoo/core/error.h"

namespace zoo {

namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors values are little-endian and copied as they are");

using nlohmann::json;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t maximum_header = 100'000'000;  // as in the reference implementation
constexpr std::string_view metadata_name = "__metadata__";

struct DTypeSize {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<DTypeSize, 17> dtype_sizes = {{{"BOOL", 1},
                                                    {"U8", 1},
                                                    {"I8", 1},
                                                    {"F8_E5M2", 1},
                                                    {"F8_E4M3", 1},
                                                    {"F8_E8M0", 1},
                                                    {"I16", 2},
                                                    {"U16", 2},
                                                    {"F16", 2},
                                                    {"BF16", 2},
                                                    {"I32", 4},
                                                    {"U32", 4},
                                                    {"F32", 4},
                                                    {"I64", 8},
                                                    {"U64", 8},
                                                    {"F64", 8},
                                                    {"C64", 8}}};

template <typename... Args>
[[noreturn]] void reject(const std::filesystem::path& path, fmt::format_string<Args...> problem, Args&&... args) {
  throw UsageError("'{}' is not a valid safetensors file: {}", path.string(),
                   fmt::format(problem, std::forward<Args>(args)...));
}

// A text from the file, cut to what a message can show.
std::string shown(std::string text) {
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}
std::string shown(const json& value) {
  return shown(value.dump(-1, ' ', true));
}

void read_fully(std::FILE* file, const std::filesystem::path& path, std::uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const ssize_t got = ::pread(::fileno(file), to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error("cannot read '{}': {}", path.string(), std::generic_category().message(errno));
    if (got == 0) throw Error("cannot read '{}': it has become shorter since it was opened", path.string());
    to = to.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

// The header's JSON. Names given twice and deep nesting are found while parsing: a parsed object keeps one value a
// name.
json parse_json(std::string_view header, const std::filesystem::path& path) {
  std::array<std::set<std::string>, 3> keys;
  const json::parser_callback_t check = [&](int depth, json::parse_event_t event, json& parsed) {
    const auto level = static_cast<std::size_t>(depth);
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (level >= keys.size()) reject(path, "its header is nested too deeply");
      keys[level].clear();
    } else if (event == json::parse_event_t::key && !keys[level - 1].insert(parsed.get<std::string>()).second) {
      reject(path, "its header names '{}' twice", shown(parsed.get<std::string>()));
    }
    return true;
  };
  try {
    return json::parse(header, check);
  } catch (const json::exception& error) {
    reject(path, "its header is not JSON ({})", shown(std::string(error.what())));
  }
}

// One tensor's place: its info, and where its values begin and end.
struct Placed {
  SafetensorsInfo info;
  std::uint64_t begin, end;
};

Placed parse_entry(const std::string& full_name, const json& entry, const std::filesystem::path& path) {
  const std::string name = shown(full_name);
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    reject(path, "tensor '{}' must have dtype, shape and data_offsets", name);
  }
  const json& dtype = entry["dtype"];
  const json& shape = entry["shape"];
  const json& offsets = entry["data_offsets"];
  if (!dtype.is_string() || safetensors_dtype_size(dtype.get<std::string>()) == 0) {
    reject(path, "tensor '{}' has unknown dtype {}; known are {}", name, shown(dtype), safetensors_dtypes());
  }
  Placed placed{{full_name, dtype.get<std::string>(), {}}, 0, 0};
  if (!shape.is_array()) reject(path, "the shape {} of tensor '{}' is not a list", shown(shape), name);
  for (const json& extent : shape) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
      reject(path, "the shape {} of tensor '{}' is not made of whole numbers from 0 to 2^63 - 1", shown(shape), name);
    }
    placed.info.shape.push_back(extent.get<std::int64_t>());
  }
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned() || offsets[0].get<std::uint64_t>() > offsets[1].get<std::uint64_t>()) {
    reject(path, "the data_offsets {} of tensor '{}' are not [begin, end]", shown(offsets), name);
  }
  placed.begin = offsets[0].get<std::uint64_t>();
  placed.end = offsets[1].get<std::uint64_t>();
  const std::optional<std::uint64_t> bytes = safetensors_bytes(placed.info);
  if (!bytes) reject(path, "the shape {} of tensor '{}' has more values than any file", shown(shape), name);
  if (placed.end - placed.begin != *bytes) {
    reject(path, "tensor '{}' of dtype {} and shape {} needs {} bytes, but its data_offsets {} hold {}", name,
           placed.info.dtype, shown(shape), *bytes, shown(offsets), placed.end - placed.begin);
  }
  return placed;
}

SafetensorsMetadata parse_metadata(const json& entries, const std::filesystem::path& path) {
  SafetensorsMetadata metadata;
  if (!entries.is_object()) reject(path, "its __metadata__ is not an object");
  for (const auto& [key, value] : entries.items()) {
    if (!value.is_string()) reject(path, "'{}' in its __metadata__ is not a text", shown(key));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

std::size_t safetensors_dtype_size(std::string_view dtype) {
  const auto at = std::ranges::find(dtype_sizes, dtype, &DTypeSize::name);
  return at == dtype_sizes.end() ? 0 : at->bytes;
}

std::string safetensors_dtypes() {
  std::string names;
  for (const DTypeSize& dtype : dtype_sizes) names += (names.empty() ? "" : ", ") + std::string(dtype.name);
  return names;
}

std::optional<std::uint64_t> safetensors_bytes(const SafetensorsInfo& info) {
  std::uint64_t bytes = safetensors_dtype_size(info.dtype);
  if (bytes == 0 || std::ranges::any_of(info.shape, [](std::int64_t extent) { return extent < 0; })) return {};
  if (std::ranges::find(info.shape, 0) != info.shape.end()) return 0;
  for (const std::int64_t extent : info.shape) {
    if (bytes > std::uint64_t{INT64_MAX} / static_cast<std::uint64_t>(extent)) return {};
    bytes *= static_cast<std::uint64_t>(extent);
  }
  return bytes;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), file_(std::fopen(path.c_str(), "rbe")) {
  if (!file_) throw UsageError("cannot open '{}': {}", path.string(), std::generic_category().message(errno));
  struct stat status {};
  if (::fstat(::fileno(file_.get()), &status) != 0 || !S_ISREG(status.st_mode)) {
    throw UsageError("cannot open '{}': it is not a regular file", path.string());
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < length_bytes) reject(path, "it has {} bytes, less than the 8 that hold its header's length", size);
  std::uint64_t length = 0;
  read_fully(file_.get(), path, 0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > maximum_header) {
    reject(path, "its header is said to have {} bytes; at most {} are allowed", length, maximum_header);
  }
  if (length > size - length_bytes) {
    reject(path, "its header is said to have {} bytes, but only {} follow: it is cut off, or of another format", length,
           size - length_bytes);
  }
  std::string header(length, '\0');
  read_fully(file_.get(), path, length_bytes, std::as_writable_bytes(std::span(header)));
  data_begin_ = length_bytes + length;
  parse_header(header, size - data_begin_);
}

void SafetensorsFile::parse_header(std::string_view header, std::uint64_t data_bytes) {
  if (header.empty() || header.front() != '{') reject(path_, "its header does not begin with '{{'");
  const json entries = parse_json(header, path_);
  std::vector<Placed> placed;
  for (const auto& [name, entry] : entries.items()) {
    if (name == metadata_name) {
      metadata_ = parse_metadata(entry, path_);
    } else {
      placed.push_back(parse_entry(name, entry, path_));
    }
  }
  std::ranges::sort(placed, {}, [](const Placed& one) { return std::pair(one.begin, one.end); });
  offsets_.push_back(0);
  for (Placed& one : placed) {
    const std::string name = shown(one.info.name);
    if (one.end > data_bytes) {
      reject(path_, "tensor '{}' ends at byte {} of {}: the file is cut off, or its data_offsets are wrong", name,
             one.end, data_bytes);
    }
    if (one.begin < offsets_.back()) {
      reject(path_, "tensor '{}' begins at byte {}, inside tensor '{}', which ends at {}", name, one.begin,
             shown(tensors_.back().name), offsets_.back());
    }
    if (one.begin > offsets_.back()) {
      reject(path_, "bytes {} to {} before tensor '{}' belong to no tensor", offsets_.back(), one.begin - 1, name);
    }
    offsets_.push_back(one.end);
    tensors_.push_back(std::move(one.info));
  }
  if (offsets_.back() != data_bytes) {
    reject(path_, "its last {} bytes belong to no tensor", data_bytes - offsets_.back());
  }
}

bool SafetensorsFile::has(std::string_view name) const {
  return std::ranges::find(tensors_, name, &SafetensorsInfo::name) != tensors_.end();
}

std::size_t SafetensorsFile::index(std::string_view name) const {
  const auto at = std::ranges::find(tensors_, name, &SafetensorsInfo::name);
  if (at != tensors_.end()) return static_cast<std::size_t>(at - tensors_.begin());
  std::vector<std::string> names;
  for (const SafetensorsInfo& tensor : tensors_) names.push_back(tensor.name);
  throw UsageError("'{}': {}", path_.string(), unknown_name_message("tensor", name, names));
}

const SafetensorsInfo& SafetensorsFile::info(std::string_view name) const {
  return tensors_[index(name)];
}

std::size_t SafetensorsFile::bytes(std::string_view name) const {
  const std::size_t i = index(name);
  return offsets_[i + 1] - offsets_[i];
}

std::vector<std::byte> SafetensorsFile::read(std::string_view name) const {
  std::vector<std::byte> values(bytes(name));
  read(name, values);
  return values;
}

void SafetensorsFile::read(std::string_view name, std::span<std::byte> destination) const {
  const std::size_t i = index(name);
  if (destination.size() != offsets_[i + 1] - offsets_[i]) {
    throw Error("tensor '{}' of '{}' has {} bytes; the memory to read it into has {}", name, path_.string(),
                offsets_[i + 1] - offsets_[i], destination.size());
  }
  read_fully(file_.get(), path_, data_begin_ + offsets_[i], destination);
}

}  // namespace zoo
