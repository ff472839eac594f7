#include "zoo/core/registrar.h"

#include <algorithm>
#include <string>
#include <vector>

namespace zoo {

namespace {

/// Holds entries back until all are known to be good.
class Collector final : public Registrar {
 public:
  void layer(LayerEntry entry) override { collect("layer", layer_registry(), layers_, std::move(entry)); }
  void feed_forward(LayerEntry entry) override {
    collect("feed-forward", feed_forward_registry(), feed_forwards_, std::move(entry));
  }
  void backbone(BackboneEntry entry) override {
    collect("backbone", backbone_registry(), backbones_, std::move(entry));
  }
  void task(TaskEntry entry) override { collect("task", task_registry(), tasks_, std::move(entry)); }

  void commit() {
    for (LayerEntry& entry : layers_) layer_registry().add(std::move(entry));
    for (LayerEntry& entry : feed_forwards_) feed_forward_registry().add(std::move(entry));
    for (BackboneEntry& entry : backbones_) backbone_registry().add(std::move(entry));
    for (TaskEntry& entry : tasks_) task_registry().add(std::move(entry));
  }

 private:
  template <typename Entry>
  static void collect(const std::string& kind, const Registry<Entry>& registry, std::vector<Entry>& collected,
                      Entry entry) {
    check_entry_name(kind, entry.name);
    if (!entry.make) throw UsageError("{} '{}' has no function that makes it", kind, entry.name);
    const bool here = std::ranges::any_of(collected, [&](const Entry& other) { return other.name == entry.name; });
    if (here || registry.find(entry.name) != nullptr) {
      throw UsageError("{} '{}' is already registered; rename yours", kind, entry.name);
    }
    collected.push_back(std::move(entry));
  }

  std::vector<LayerEntry> layers_;
  std::vector<LayerEntry> feed_forwards_;
  std::vector<BackboneEntry> backbones_;
  std::vector<TaskEntry> tasks_;
};

}  // namespace

void check_entry_name(const std::string& kind, const std::string& name) {
  const auto allowed = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_';
  };
  if (name.empty() || name.size() > 64 || !std::ranges::all_of(name, allowed)) {
    throw UsageError("'{}' cannot be the name of a {}: 1 to 64 of a-z, 0-9 and _ are allowed", name, kind);
  }
}

void register_entries(std::span<const RegisterFunction> functions) {
  Collector collector;
  for (const RegisterFunction function : functions) function(collector);
  collector.commit();
}

}  // namespace zoo
