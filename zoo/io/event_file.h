#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace zoo {

/// A file of scalars that TensorBoard reads: records as TensorFlow's RecordWriter frames them (length, masked CRC-32C,
/// bytes, masked CRC-32C), each an Event message of tensorflow/core/util/event.proto.
class EventFile {
 public:
  /// Begins a new file "events.out.tfevents.SECONDS.HOST.PROCESS" in a folder, which is made if it is not there. What
  /// earlier files there say of steps from `first_step` on no longer counts: TensorBoard drops it when it reads this
  /// one. Throws Error naming the path.
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);

  /// Scalars of one step, each "train/loss" and its value. Throws Error naming the path when the disk is full.
  void add(std::int64_t step, std::span<const std::pair<std::string_view, double>> scalars);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  void write(std::string_view event);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace zoo
