#include "tasks/common/cifar_files.h"

#include <algorithm>
#include <array>

#include "zoo/core/error.h"

namespace zoo {

namespace {

constexpr std::uint64_t records = 10'000, record_bytes = 1 + 3 * CifarFiles::pixels;
constexpr std::uint64_t training_batches = 5, validation = 5'000;

}  // namespace

CifarFiles::CifarFiles(const std::string& task, const std::string& folder) : task_(task) {
  const DataSource source{task, folder, "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
                          "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"};
  for (std::uint64_t batch = 1; batch <= training_batches; ++batch) {
    files_.emplace_back(source, fmt::format("data_batch_{}.bin", batch));
  }
  files_.emplace_back(source, "test_batch.bin");
  for (const DataFile& file : files_) file.check_size(records * record_bytes, "a batch of CIFAR-10");
}

std::uint64_t CifarFiles::count(Split split) {
  return split == Split::train        ? training_batches * records - validation
         : split == Split::validation ? validation
                                      : records;
}

std::int32_t CifarFiles::read(Split split, std::uint64_t index, std::span<std::uint8_t, 3 * pixels> colours) const {
  const std::uint64_t first = split == Split::validation ? count(Split::train) : 0;
  const std::uint64_t record = (split == Split::test ? training_batches * records : 0) + first + index;
  const DataFile& file = files_[record / records];
  std::array<std::uint8_t, record_bytes> bytes;
  file.read(record % records * record_bytes, bytes);
  if (bytes[0] >= classes) {
    throw Error("task {}: record {} of '{}' has the label {}; CIFAR-10 has 0 to {}", task_, record % records,
                file.path().string(), bytes[0], classes - 1);
  }
  std::copy(bytes.begin() + 1, bytes.end(), colours.begin());
  return bytes[0];
}

}  // namespace zoo
