#include "zoo/sweep/compare.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace zoo {

namespace {

class Differences {
 public:
  void number(std::string_view where, std::string_view what, double before, double now) {
    const bool both_nan = std::isnan(before) && std::isnan(now);
    if (both_nan || std::bit_cast<std::uint64_t>(before) == std::bit_cast<std::uint64_t>(now)) return;
    add("{} {}: {:.17g} recorded, {:.17g} now", where, what, before, now);
  }
  template <typename Value>
  void value(std::string_view where, std::string_view what, const Value& before, const Value& now) {
    if (before != now) add("{} {}: {} recorded, {} now", where, what, before, now);
  }
  std::vector<std::string> take() { return std::move(all_); }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    all_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  std::vector<std::string> all_;
};

// A missing entry reads as "null".
std::string entry(const nlohmann::json& summary, const char* name) {
  return summary.is_object() && summary.contains(name) ? summary.at(name).dump() : "null";
}

}  // namespace

std::vector<std::string> result_differences(const Run& recorded, const Run& again) {
  Differences differences;
  differences.value("run", "status", status_name(recorded.status), status_name(again.status));
  differences.value("run", "message", recorded.message, again.message);
  for (const char* name : {"parameters", "flops", "epochs"}) {
    differences.value("run", name, entry(recorded.summary, name), entry(again.summary, name));
  }
  differences.value("run", "recorded epochs", recorded.epochs.size(), again.epochs.size());
  for (std::size_t i = 0; i < std::min(recorded.epochs.size(), again.epochs.size()); ++i) {
    const EpochResult& before = recorded.epochs[i];
    const EpochResult& now = again.epochs[i];
    const std::string where = fmt::format("epoch {}", before.epoch);
    differences.value(where, "number", before.epoch, now.epoch);
    differences.number(where, "train_loss", before.train_loss, now.train_loss);
    differences.number(where, "validation_loss", before.validation_loss, now.validation_loss);
    differences.number(where, "validation_accuracy", before.validation_accuracy, now.validation_accuracy);
    differences.number(where, "learning_rate", before.learning_rate, now.learning_rate);
  }
  differences.value("run", "slices", recorded.slices.size(), again.slices.size());
  for (std::size_t i = 0; i < std::min(recorded.slices.size(), again.slices.size()); ++i) {
    const SliceResult& before = recorded.slices[i];
    const SliceResult& now = again.slices[i];
    const std::string where = fmt::format("{} {}", before.split, before.slice.dump());
    differences.value(where, "slice", before.split + " " + before.slice.dump(), now.split + " " + now.slice.dump());
    differences.number(where, "accuracy", before.accuracy, now.accuracy);
    differences.number(where, "loss", before.loss, now.loss);
    differences.value(where, "state_bytes", before.state_bytes, now.state_bytes);
    differences.value(where, "labelled", before.labelled, now.labelled);
    differences.value(where, "metrics", before.metrics.dump(), now.metrics.dump());
  }
  return differences.take();
}

}  // namespace zoo
