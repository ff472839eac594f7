#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/options.h"
#include "zoo/core/random.h"
#include "zoo/core/registry.h"

namespace zoo {

/// Choices (learning rates, stopping) are made on validation, tables show test.
enum class Split { train, validation, test };

std::string_view split_name(Split split);
/// Throws UsageError for anything but train, validation, test.
Split parse_split(std::string_view name);

/// The label of a position that is not scored.
inline constexpr std::int32_t unlabelled = -100;

/// One example: inputs, and a label (or `unlabelled`) at each position. The label at t is what the model must say
/// having read the inputs 0..t. Which vectors are used is the same for all examples of a task; the others are empty.
struct Example {
  std::vector<std::int32_t> tokens;  ///< [T], unless the inputs are real: see Task::input_channels()
  std::vector<std::int32_t> labels;  ///< [T], a class; 0 where the head is regression and the position is read
  std::vector<float> reals;          ///< [T,C], the inputs of a task with input_channels() C > 0
  std::vector<float> targets;        ///< [T], regression: the value to say at labelled positions, 0 elsewhere
  std::vector<std::int32_t> groups;  ///< [T], a task with groups(): the group of each label; 0 where unlabelled

  bool operator==(const Example&) const = default;
};

/// A named number that sorts examples for reporting, such as kv_pairs=8.
struct Slice {
  std::string name;
  std::int64_t value;

  bool operator==(const Slice&) const = default;
};

/// What stands behind the backbone and turns its outputs into answers.
///   language_model  logits over the vocabulary
///   classes         logits over `outputs` classes that are no tokens
///   regression      one number; the loss is the squared error
///   decoder         the last position's vector alone must tell the label of every position (MAD's compression)
///   pair            an example is two sequences of equal length, one behind the other, which the backbone reads apart;
///                   logits over `outputs` classes from the last position's vectors of both. The one label stands at
///                   the last position of the second. Padding goes in front.
enum class HeadKind { language_model, classes, regression, decoder, pair };

std::string_view head_kind_name(HeadKind kind);
/// How many sequences, of equal length, are one example under a head.
constexpr std::int64_t sequences_an_example(HeadKind kind) {
  return kind == HeadKind::pair ? 2 : 1;
}

struct HeadSpec {
  HeadKind kind = HeadKind::language_model;
  std::int64_t outputs = 0;  ///< logits at a position; 1 for regression
};

/// The random numbers of one example of a task: no other example, split, seed or task draws the same.
RandomStream example_stream(std::string_view task, Split split, std::uint64_t seed, std::uint64_t index);

/// A generator of examples with random access: any example can be made alone, on any worker, identically. Instances are
/// immutable and may be called from several threads at once.
class Task {
 public:
  virtual ~Task() = default;

  /// Writes example `index` of a split into `example`, whose vectors are reused (resized, every element written); those
  /// that this task does not use it leaves alone. Examples read from files are the same for every seed.
  virtual void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const = 0;

  /// Tokens are 0 .. vocab_size-1; 0 when the inputs are real.
  virtual std::int64_t vocab_size() const = 0;
  /// T, the positions of an example, the same for all of one instance: of both sequences together where there are two.
  /// Shorter examples are padded behind their last label.
  virtual std::int64_t seq_len() const = 0;
  /// The slice every example of this instance belongs to, for example {seq_len 64, kv_pairs 8}.
  virtual std::vector<Slice> slices() const = 0;
  /// The finer slices that labels are sorted into beside slices(), where a task has them: Example::groups holds indices
  /// into this list, for example {hops 1}, {hops 2}. Each is reported on its own, besides all together.
  virtual std::vector<Slice> groups() const { return {}; }
  virtual HeadSpec head() const { return {HeadKind::language_model, vocab_size()}; }
  /// C when the inputs are reals [T,C], 0 when they are tokens.
  virtual std::int64_t input_channels() const { return 0; }
  /// How many examples a split has, of which `index` must be one; nothing when there is no end to them, as for all
  /// tasks that draw theirs.
  virtual std::optional<std::uint64_t> example_count(Split) const { return std::nullopt; }
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
  /// The task reads files that the user has to get, and cannot be made without them. It has no test cases: the generic
  /// tests, and the one that constructs what a plugin registers, leave it out.
  bool needs_files = false;
};

Registry<TaskEntry>& task_registry();

/// Throws Error, naming the position, when an example is not what its task promises: the length of each vector, tokens
/// in the vocabulary, labels among the head's outputs, groups among groups(), finite reals.
void check_example(const Task& task, const Example& example, std::uint64_t index);

/// Throws Error when a split has no example `index`.
void check_example_index(const Task& task, Split split, std::uint64_t index);

/// Throws UsageError when a split has fewer than `count` examples.
void check_example_count(const Task& task, Split split, std::uint64_t count);

/// Validates `given` against the task's schema and makes it.
std::unique_ptr<Task> make_task(std::string_view name, const nlohmann::json& given);

}  // namespace zoo
