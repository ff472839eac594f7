#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/io/atomic_file.h"

/// The safetensors format (https://huggingface.co/docs/safetensors): eight bytes with the length of a JSON header, the
/// header with name, dtype, shape and place of each tensor, then the values, row-major and little-endian.
namespace zoo {

/// What a file says of one tensor.
struct SafetensorsInfo {
  std::string name;
  std::string dtype;  ///< as the format spells it: "F32", "F64", "I32", "I64", "BF16", "F16", "U8", ...
  std::vector<std::int64_t> shape;

  bool operator==(const SafetensorsInfo&) const = default;
};

/// Names and texts that travel with the tensors.
using SafetensorsMetadata = std::map<std::string, std::string>;

/// Bytes of one value of a dtype as the format spells it, 0 for an unknown name.
std::size_t safetensors_dtype_size(std::string_view dtype);
/// Every dtype of the format whose values are whole bytes, as a text for messages.
std::string safetensors_dtypes();
/// Bytes of a tensor's values; nothing for an unknown dtype, a negative extent, or more bytes than 63 bits count.
std::optional<std::uint64_t> safetensors_bytes(const SafetensorsInfo& info);

/// A safetensors file, open for reading. The header is read and checked at once, values when they are asked for.
class SafetensorsFile {
 public:
  /// Throws UsageError naming the file and the problem when it cannot be opened or is not a well-formed safetensors
  /// file: truncated or with bytes left over, a header that is too long or not JSON of the right form, an unknown
  /// dtype, a shape that does not fit its bytes, tensors that overlap or leave holes, a name given twice.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// In the order in which their values lie in the file.
  const std::vector<SafetensorsInfo>& tensors() const { return tensors_; }
  const SafetensorsMetadata& metadata() const { return metadata_; }

  /// The tensor of that name; throws UsageError with the nearest name when there is none.
  const SafetensorsInfo& info(std::string_view name) const;
  bool has(std::string_view name) const;
  std::size_t bytes(std::string_view name) const;

  /// The values. Throws UsageError when there is no such tensor, Error when the file cannot be read (any more).
  std::vector<std::byte> read(std::string_view name) const;
  /// The same into memory of exactly bytes(name).
  void read(std::string_view name, std::span<std::byte> destination) const;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::size_t index(std::string_view name) const;
  void parse_header(std::string_view header, std::uint64_t data_bytes);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::uint64_t data_begin_ = 0;
  std::vector<SafetensorsInfo> tensors_;
  std::vector<std::uint64_t> offsets_;  // where each tensor begins, from data_begin_, and where the last one ends
  SafetensorsMetadata metadata_;
};

/// Writes a safetensors file tensor after tensor, atomically: the path changes only at commit().
class SafetensorsWriter {
 public:
  /// Writes the header. Throws Error when the file cannot be written, for a dtype the format does not know, a shape
  /// that is negative or too large, and for a name given twice or "__metadata__". Readers that map a file into memory
  /// like wide dtypes first, as write_safetensors() puts them.
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<SafetensorsInfo>& tensors,
                    const SafetensorsMetadata& metadata = {});

  /// Appends values: all of the first tensor, then all of the second, and so on, in pieces of any size.
  void write(std::span<const std::byte> values);

  /// Throws Error unless exactly the bytes announced were written.
  void commit();

 private:
  AtomicFile file_;
  std::uint64_t announced_ = 0;
  std::uint64_t written_ = 0;
};

/// A tensor to write: its values stay the caller's.
struct SafetensorsEntry {
  SafetensorsInfo info;
  std::span<const std::byte> values;
};

/// Writes all at once, wide dtypes first so that every tensor is aligned. Errors as of SafetensorsWriter, and when an
/// entry's values are not as many bytes as its shape and dtype say.
void write_safetensors(const std::filesystem::path& path, std::vector<SafetensorsEntry> entries,
                       const SafetensorsMetadata& metadata = {});

}  // namespace zoo
