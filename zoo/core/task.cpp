#include "zoo/core/task.h"

#include <array>
#include <cmath>

#include "zoo/core/error.h"

namespace zoo {

namespace {

const std::array<std::string, 3> split_names = {"train", "validation", "test"};
const std::array<std::string, 5> head_kind_names = {"language_model", "classes", "regression", "decoder", "pair"};

template <typename Value>
void check_length(const std::vector<Value>& values, std::int64_t expected, const char* what, std::uint64_t index) {
  if (std::ssize(values) == expected) return;
  throw Error("example {} of the task has {} {}; it must have {}", index, values.size(), what, expected);
}

}  // namespace

std::string_view split_name(Split split) {
  return split_names[static_cast<std::size_t>(split)];
}

Split parse_split(std::string_view name) {
  const auto at = std::ranges::find(split_names, name);
  if (at == split_names.end()) throw UsageError(unknown_name_message("split", name, split_names));
  return static_cast<Split>(at - split_names.begin());
}

std::string_view head_kind_name(HeadKind kind) {
  return head_kind_names[static_cast<std::size_t>(kind)];
}

RandomStream example_stream(std::string_view task, Split split, std::uint64_t seed, std::uint64_t index) {
  return RandomStream(RandomKey::of(seed, task).fold(static_cast<std::uint64_t>(split)).fold(index));
}

void check_example(const Task& task, const Example& example, std::uint64_t index) {
  const HeadSpec head = task.head();
  const std::int64_t length = task.seq_len();
  const std::int64_t channels = task.input_channels();
  const auto groups = std::ssize(task.groups());
  if (length % sequences_an_example(head.kind) != 0) {
    throw Error("the task has {} positions; its {} head needs sequences of equal length", length,
                head_kind_name(head.kind));
  }
  check_length(example.tokens, channels > 0 ? 0 : length, "tokens", index);
  check_length(example.reals, channels * length, "real inputs", index);
  check_length(example.labels, length, "labels", index);
  check_length(example.targets, head.kind == HeadKind::regression ? length : 0, "targets", index);
  check_length(example.groups, groups > 0 ? length : 0, "groups", index);
  for (std::size_t t = 0; t < example.tokens.size(); ++t) {
    if (example.tokens[t] < 0 || example.tokens[t] >= task.vocab_size()) {
      throw Error("example {} of the task has token {} at position {}; its vocab_size is {}", index, example.tokens[t],
                  t, task.vocab_size());
    }
  }
  for (std::size_t t = 0; t < example.labels.size(); ++t) {
    const std::int32_t label = example.labels[t];
    if (label != unlabelled && (label < 0 || label >= head.outputs)) {
      throw Error("example {} of the task has label {} at position {}; its {} head has {} outputs", index, label, t,
                  head_kind_name(head.kind), head.outputs);
    }
    if (label == unlabelled && head.kind == HeadKind::decoder) {
      throw Error("example {} of the task has no label at position {}; for a decoder every position has one", index, t);
    }
    if (head.kind == HeadKind::pair && (label == unlabelled) == (t + 1 == example.labels.size())) {
      throw Error("example {} of the task is {} at position {}; for a pair the last position has the one label", index,
                  label == unlabelled ? "unlabelled" : "labelled", t);
    }
  }
  for (std::size_t t = 0; t < example.groups.size(); ++t) {
    if (example.groups[t] < 0 || example.groups[t] >= groups) {
      throw Error("example {} of the task has group {} at position {}; it has {} groups", index, example.groups[t], t,
                  groups);
    }
  }
  for (const auto* values : {&example.reals, &example.targets}) {
    if (!std::ranges::all_of(*values, [](float value) { return std::isfinite(value); })) {
      throw Error("example {} of the task holds a number that is not finite", index);
    }
  }
}

void check_example_index(const Task& task, Split split, std::uint64_t index) {
  const std::optional<std::uint64_t> there = task.example_count(split);
  if (!there || index < *there) return;
  throw Error("the {} split has no example {}; it has {}, counted from 0", split_name(split), index, *there);
}

void check_example_count(const Task& task, Split split, std::uint64_t count) {
  const std::optional<std::uint64_t> there = task.example_count(split);
  if (!there || count <= *there) return;
  throw UsageError("the {} split has {} examples, not {}; ask for {} or fewer", split_name(split), *there, count,
                   *there);
}

Registry<TaskEntry>& task_registry() {
  static Registry<TaskEntry> registry("task");
  return registry;
}

std::unique_ptr<Task> make_task(std::string_view name, const nlohmann::json& given) {
  const TaskEntry& entry = task_registry().get(name);
  return entry.make(Options(entry.options, given, "task " + entry.name));
}

}  // namespace zoo
