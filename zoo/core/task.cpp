#include "zoo/core/task.h"

#include <array>

namespace zoo {

namespace {

const std::array<std::string, 3> split_names = {"train", "validation", "test"};

}  // namespace

std::string_view split_name(Split split) {
  return split_names[static_cast<std::size_t>(split)];
}

Split parse_split(std::string_view name) {
  const auto at = std::ranges::find(split_names, name);
  if (at == split_names.end()) throw UsageError(unknown_name_message("split", name, split_names));
  return static_cast<Split>(at - split_names.begin());
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
