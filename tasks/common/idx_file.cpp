#include "tasks/common/idx_file.h"

#include "zoo/core/error.h"

namespace zoo {

IdxFile::IdxFile(const DataSource& source, const std::string& name, std::size_t dimensions)
    : file_(source, name), header_bytes_(4 + 4 * dimensions) {
  std::vector<std::uint8_t> header(header_bytes_);
  if (file_.size() < header_bytes_) file_.check_size(header_bytes_, "an IDX file's header alone");
  file_.read(0, header);
  const auto magic = static_cast<std::uint8_t>(dimensions);
  if (header[0] != 0 || header[1] != 0 || header[2] != 8 || header[3] != magic) {
    throw UsageError(
        "task {}: '{}' begins with the bytes {:02x}; an IDX file of bytes with {} dimensions begins with 00 00 08 "
        "{:02x}; {}",
        source.task, path(), fmt::join(std::span(header).first(4), " "), dimensions, magic, source.advice());
  }
  for (std::size_t d = 0; d < dimensions; ++d) {
    std::uint64_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = 256 * size + header[4 + 4 * d + i];
    // Small enough that no product overflows.
    if (size > (d == 0 ? 0xFFFFFFFF : 0xFFFF)) {
      throw UsageError("task {}: '{}' says it holds items of extent {}; it is damaged; {}", source.task, path(), size,
                       source.advice());
    }
    sizes_.push_back(size);
    if (d > 0) item_bytes_ *= size;
  }
  file_.check_size(header_bytes_ + items() * item_bytes_,
                   fmt::format("what its header tells of ({})", fmt::join(sizes_, " x ")));
}

void IdxFile::read(std::uint64_t index, std::span<std::uint8_t> item) const {
  file_.read(header_bytes_ + index * item_bytes_, item);
}

}  // namespace zoo
