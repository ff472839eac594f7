#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "runners/command.h"
#include "zoo/core/options_describe.h"
#include "zoo/nn/layer.h"

namespace zoo {
namespace {

constexpr std::string_view usage =
    "Usage: zoo layers [NAME] [--json]\n\n"
    "Lists the layers and feed-forwards, or describes one: its paper, its options with their defaults and what they\n"
    "may be, and what it asks of the backbone around it by default.\n\n"
    "  --json   the same as one JSON object\n";

BackboneWishes default_wishes(const LayerEntry& entry) {
  return entry.wishes ? entry.wishes(Options(entry.options, {}, entry.name)) : BackboneWishes{};
}

nlohmann::json describe_as_json(const LayerEntry& entry) {
  const BackboneWishes wishes = default_wishes(entry);
  return {{"name", entry.name},
          {"description", entry.description},
          {"paper", entry.paper},
          {"options", options_json(entry.options)},
          {"wishes",
           {{"learned_positions", wishes.learned_positions}, {"temporal_convolution", wishes.temporal_convolution}}}};
}

nlohmann::json all_as_json(const Registry<LayerEntry>& registry) {
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& name : registry.names()) all.push_back(describe_as_json(registry.get(name)));
  return all;
}

void list(std::string_view title, const Registry<LayerEntry>& registry) {
  fmt::print("{}\n", title);
  for (const std::string& name : registry.names()) fmt::print("  {:<20} {}\n", name, registry.get(name).description);
}

void describe(const LayerEntry& entry) {
  fmt::print("{}: {}\n", entry.name, entry.description);
  if (!entry.paper.empty()) fmt::print("Paper: {}\n", entry.paper);
  const std::string options = options_help(entry.options);
  fmt::print("\n{}{}", options.empty() ? "No options.\n" : "Options:\n", options);
  const BackboneWishes wishes = default_wishes(entry);
  if (wishes.learned_positions) fmt::print("\nAsks the backbone for learned positions at the embedding.\n");
  if (wishes.temporal_convolution > 0) {
    fmt::print("\nAsks the backbone for a causal convolution of kernel {} before it.\n", wishes.temporal_convolution);
  }
}

/// The layer or feed-forward of that name; an unknown one is looked for among both.
const LayerEntry& find_entry(const std::string& name) {
  if (const LayerEntry* entry = layer_registry().find(name)) return *entry;
  if (const LayerEntry* entry = feed_forward_registry().find(name)) return *entry;
  std::vector<std::string> names = layer_registry().names();
  for (const std::string& other : feed_forward_registry().names()) names.push_back(other);
  throw UsageError(unknown_name_message("layer", name, names));
}

int run(std::span<const std::string> arguments) {
  bool json = false;
  std::string name;
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      fmt::print("{}", usage);
      return 0;
    }
    if (argument == "--json") {
      json = true;
    } else if (argument.starts_with("-") || !name.empty()) {
      throw UsageError("zoo layers does not take '{}'\n\n{}", argument, usage);
    } else {
      name = argument;
    }
  }
  if (!name.empty() && json) {
    fmt::print("{}\n", describe_as_json(find_entry(name)).dump(2));
  } else if (!name.empty()) {
    describe(find_entry(name));
  } else if (json) {
    const nlohmann::json all = {{"layers", all_as_json(layer_registry())},
                                {"feed_forwards", all_as_json(feed_forward_registry())}};
    fmt::print("{}\n", all.dump(2));
  } else {
    list("Layers", layer_registry());
    list("\nFeed-forwards", feed_forward_registry());
    fmt::print("\nzoo layers NAME describes one with its options.\n");
  }
  return 0;
}

const RegisterCommand command({.name = "layers", .help = "list and describe layers and feed-forwards", .run = run});

}  // namespace
}  // namespace zoo
