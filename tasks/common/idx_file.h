#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tasks/common/data_file.h"

namespace zoo {

/// A file of bytes in the IDX format, http://yann.lecun.com/exdb/mnist: two zero bytes, 8 for bytes, the number of
/// dimensions, each of these as four bytes, highest first, then the values. The first dimension counts the items.
class IdxFile {
 public:
  /// Throws UsageError when the file is missing, is not of bytes with so many dimensions, or has another size than they
  /// say.
  IdxFile(const DataSource& source, const std::string& name, std::size_t dimensions);

  const std::string path() const { return file_.path().string(); }
  std::uint64_t items() const { return sizes_[0]; }
  /// The dimensions of an item.
  std::span<const std::uint64_t> shape() const { return std::span(sizes_).subspan(1); }
  std::uint64_t item_bytes() const { return item_bytes_; }
  /// Item `index` < items() into memory of item_bytes().
  void read(std::uint64_t index, std::span<std::uint8_t> item) const;

 private:
  DataFile file_;
  std::vector<std::uint64_t> sizes_;
  std::uint64_t header_bytes_ = 0, item_bytes_ = 1;
};

}  // namespace zoo
