#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tasks/common/data_file.h"
#include "zoo/core/task.h"

namespace zoo {

/// CIFAR-10 in its binary version, https://www.cs.toronto.edu/~kriz/cifar.html: five training batches and a test batch
/// of 10,000 records of a label and 32 x 32 pixels, first all red, then all green, then all blue.
class CifarFiles {
 public:
  static constexpr std::int64_t side = 32, pixels = side * side, classes = 10;
  static constexpr const char* default_folder = "data/cifar-10-batches-bin";

  /// Throws UsageError when a file is missing or has not the size it should.
  CifarFiles(const std::string& task, const std::string& folder);

  /// The last 5,000 training pictures are for validation.
  static std::uint64_t count(Split split);

  /// Reads picture `index` < count(split) into `colours` [3, 32, 32] and returns its label. Throws Error for a label
  /// that is none.
  std::int32_t read(Split split, std::uint64_t index, std::span<std::uint8_t, 3 * pixels> colours) const;

 private:
  std::string task_;
  std::vector<DataFile> files_;  // the training batches, then the test batch
};

}  // namespace zoo
