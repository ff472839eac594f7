#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "runners/command.h"
#include "zoo/core/options_describe.h"
#include "zoo/nn/backbone.h"

namespace zoo {
namespace {

constexpr std::string_view usage =
    "Usage: zoo layers [NAME|KIND:NAME] [--json]\n\n"
    "Lists the layers, and the feed-forwards and backbones that stand around them; or describes one: its paper, its\n"
    "options with their defaults and what they may be, and what it asks of the backbone by default. KIND is layer,\n"
    "feed_forward or backbone, for names that are several.\n\n"
    "  --json   the same as one JSON object\n";

/// What a layer asks of the backbone when its options are the defaults.
BackboneWishes default_wishes(const LayerEntry& entry) {
  return entry.wishes ? entry.wishes(Options(entry.options, {}, entry.name)) : BackboneWishes{};
}

template <typename Entry>
nlohmann::json as_json(const Entry& entry) {
  nlohmann::json json = {{"name", entry.name},
                         {"description", entry.description},
                         {"paper", entry.paper},
                         {"options", options_json(entry.options)}};
  if constexpr (std::is_same_v<Entry, LayerEntry>) {
    const BackboneWishes wishes = default_wishes(entry);
    json["wishes"] = {{"learned_positions", wishes.learned_positions},
                      {"temporal_convolution", wishes.temporal_convolution}};
  }
  return json;
}

template <typename Entry>
nlohmann::json as_json(const Registry<Entry>& registry) {
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& name : registry.names()) all.push_back(as_json(registry.get(name)));
  return all;
}

template <typename Entry>
void list(std::string_view title, const Registry<Entry>& registry) {
  fmt::print("{}\n", title);
  for (const std::string& name : registry.names()) fmt::print("  {:<20} {}\n", name, registry.get(name).description);
}

template <typename Entry>
void describe(const Entry& entry) {
  fmt::print("{}: {}\n", entry.name, entry.description);
  if (!entry.paper.empty()) fmt::print("Paper: {}\n", entry.paper);
  const std::string options = options_help(entry.options);
  fmt::print("\n{}{}", options.empty() ? "No options.\n" : "Options:\n", options);
  if constexpr (std::is_same_v<Entry, LayerEntry>) {
    const BackboneWishes wishes = default_wishes(entry);
    if (wishes.learned_positions) fmt::print("\nAsks the backbone for learned positions at the embedding.\n");
    if (wishes.temporal_convolution > 0) {
      fmt::print("\nAsks the backbone for a causal convolution of kernel {} before it.\n", wishes.temporal_convolution);
    }
  }
}

void list_all(bool json) {
  if (json) {
    const nlohmann::json all = {{"layers", as_json(layer_registry())},
                                {"feed_forwards", as_json(feed_forward_registry())},
                                {"backbones", as_json(backbone_registry())}};
    fmt::print("{}\n", all.dump(2));
    return;
  }
  list("Layers", layer_registry());
  list("\nFeed-forwards", feed_forward_registry());
  list("\nBackbones", backbone_registry());
  fmt::print("\nzoo layers NAME describes one with its options; backbone:NAME where a layer has the same name.\n");
}

void describe_one(const std::string& name, bool json) {
  const auto show = [json](const auto& entry) {
    if (json) {
      fmt::print("{}\n", as_json(entry).dump(2));
    } else {
      describe(entry);
    }
  };
  // Mamba is a layer and a backbone: the kind before a colon tells them apart.
  const auto entry_of = [&](const std::string& kind, const auto& registry) {
    const bool qualified = name.starts_with(kind + ":");
    return registry.find(qualified ? name.substr(kind.size() + 1) : name);
  };
  if (const LayerEntry* layer = entry_of("layer", layer_registry())) return show(*layer);
  if (const LayerEntry* feed_forward = entry_of("feed_forward", feed_forward_registry())) return show(*feed_forward);
  if (const BackboneEntry* backbone = entry_of("backbone", backbone_registry())) return show(*backbone);
  std::vector<std::string> names = layer_registry().names();
  for (const std::string& other : feed_forward_registry().names()) names.push_back(other);
  for (const std::string& other : backbone_registry().names()) names.push_back(other);
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
  if (name.empty()) {
    list_all(json);
  } else {
    describe_one(name, json);
  }
  return 0;
}

const RegisterCommand command({.name = "layers",
                               .help = "list and describe layers, feed-forwards and backbones",
                               .run = run});

}  // namespace
}  // namespace zoo
