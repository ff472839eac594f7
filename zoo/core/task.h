#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/options.h"
#include "zoo/core/registry.h"

namespace zoo {

/// Choices (learning rates, stopping) are made on validation, tables show test.
enum class Split { train, validation, test };

std::string_view split_name(Split split);
/// Throws UsageError for anything but train, validation, test.
Split parse_split(std::string_view name);

/// The label of a position that is not scored.
inline constexpr std::int32_t unlabelled = -100;

/// One example: tokens in, a label (or `unlabelled`) at each position. The label at t is what the model must say having
/// read tokens 0..t.
struct Example {
  std::vector<std::int32_t> tokens;  ///< [T]
  std::vector<std::int32_t> labels;  ///< [T]

  bool operator==(const Example&) const = default;
};

/// A named number that sorts examples for reporting, such as kv_pairs=8.
struct Slice {
  std::string name;
  std::int64_t value;
};

/// A generator of examples with random access: any example can be made alone, on any worker, identically. Instances are
/// immutable and may be called from several threads at once.
class Task {
 public:
  virtual ~Task() = default;

  /// Writes example `index` of a split into `example`, whose vectors are reused (resized, every element written).
  virtual void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const = 0;

  virtual std::int64_t vocab_size() const = 0;
  /// T, the same for all examples of one instance.
  virtual std::int64_t seq_len() const = 0;
  /// The slice every example of this instance belongs to, for example {seq_len 64, kv_pairs 8}.
  virtual std::vector<Slice> slices() const = 0;
  /// An example as text that a person can read: which token is what, which positions are labelled with what.
  virtual std::string describe(const Example& example) const = 0;
};

/// A task's entry in the registry.
struct TaskEntry {
  std::string name;
  std::string description;  ///< one line
  std::string paper;        ///< where it comes from
  OptionSchema options;
  std::function<std::unique_ptr<Task>(const Options&)> make;  ///< throws UsageError for settings that cannot be met
  /// Small settings that the generic tests use.
  std::vector<nlohmann::json> test_cases;
};

Registry<TaskEntry>& task_registry();

/// Validates `given` against the task's schema and makes it.
std::unique_ptr<Task> make_task(std::string_view name, const nlohmann::json& given);

}  // namespace zoo
