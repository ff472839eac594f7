#pragma once

#include <cstdint>

#include "zoo/core/task.h"
#include "zoo/core/version.h"
#include "zoo/nn/layer.h"

/// Registration, the same source for what is built in and for what is loaded with --plugin:
///
///     ZOO_REGISTER_LAYER(my_layer) {
///       return {.name = "my_layer", .description = "...", .paper = "...", .options = ..., .make =
///       zoo::make<MyLayer>(),
///               .test_cases = {{.d_model = 16}}};
///     }
///
/// Each use puts a pointer to the function it defines into the section `zoo_entries` of the library being built; each
/// library that uses it carries a stamp (an ELF note) that can be read before any of its code runs.

namespace zoo {

/// Where entries are collected.
class Registrar {
 public:
  virtual ~Registrar() = default;
  virtual void layer(LayerEntry entry) = 0;
  virtual void feed_forward(LayerEntry entry) = 0;
  virtual void task(TaskEntry entry) = 0;
};

using RegisterFunction = void (*)(Registrar&);

/// Changes whenever a plugin built before must be built again.
inline constexpr std::uint32_t plugin_abi = 1;

}  // namespace zoo

#define ZOO_REGISTER_ENTRY_(kind, Entry, identifier)                                                                \
  static Entry zoo_entry_##kind##_##identifier();                                                                   \
  static void zoo_register_##kind##_##identifier(zoo::Registrar& registrar) {                                       \
    registrar.kind(zoo_entry_##kind##_##identifier());                                                              \
  }                                                                                                                 \
  [[gnu::used, gnu::section("zoo_entries")]] static const zoo::RegisterFunction zoo_pointer_##kind##_##identifier = \
      &zoo_register_##kind##_##identifier;                                                                          \
  static Entry zoo_entry_##kind##_##identifier()

#define ZOO_REGISTER_LAYER(identifier) ZOO_REGISTER_ENTRY_(layer, zoo::LayerEntry, identifier)
#define ZOO_REGISTER_FEED_FORWARD(identifier) ZOO_REGISTER_ENTRY_(feed_forward, zoo::LayerEntry, identifier)
#define ZOO_REGISTER_TASK(identifier) ZOO_REGISTER_ENTRY_(task, zoo::TaskEntry, identifier)
