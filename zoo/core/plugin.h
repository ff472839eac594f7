#pragma once

#include "zoo/core/registrar.h"

/// Registration, the same source for what is built in and for what is loaded with --plugin:
///
///     ZOO_REGISTER_LAYER(my_layer) {
///       return {.name = "my_layer", .description = "...", .paper = "...", .options = ..., .make =
///       zoo::make<MyLayer>(),
///               .test_cases = {{.d_model = 16}}};
///     }
///
/// Each use puts a pointer to the function it defines into the section `zoo_entries` of the library or program being
/// built. Including this header also leaves a stamp in it (an ELF note), which is read before any of its code runs, and
/// the function through which the host gets the array.

// The linker's names for the section's ends. They are hidden, so each shared object sees its own section, and weak, so
// a program without entries links.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" [[gnu::visibility("hidden"), gnu::weak]] const zoo::RegisterFunction __start_zoo_entries[];
extern "C" [[gnu::visibility("hidden"), gnu::weak]] const zoo::RegisterFunction __stop_zoo_entries[];
// NOLINTEND(bugprone-reserved-identifier)

/// The registration functions of the shared object that this is compiled into.
extern "C" [[gnu::visibility("default"), gnu::used]] inline zoo::PluginEntries zoo_plugin_entries() {
  return {__start_zoo_entries, __stop_zoo_entries};
}

namespace zoo {

/// Registers what the calling program was linked with. More calls do nothing.
[[gnu::visibility("hidden")]] inline void register_builtin() {
  const PluginEntries entries = zoo_plugin_entries();
  [[maybe_unused]] static const bool done = (register_entries({entries.begin, entries.end}), true);
}

// AddressSanitizer of clang would put a red zone behind the note, which is then no note any more.
#if defined(__clang__)
[[clang::no_sanitize("address")]]
#endif
[[gnu::used, gnu::section(".note.zoo")]] static constexpr PluginNote plugin_note = this_note();

}  // namespace zoo

#define ZOO_REGISTER_ENTRY_(kind, Entry, identifier)                                                     \
  static Entry zoo_entry_##kind##_##identifier();                                                        \
  static void zoo_register_##kind##_##identifier(zoo::Registrar& registrar) {                            \
    registrar.kind(zoo_entry_##kind##_##identifier());                                                   \
  }                                                                                                      \
  [[gnu::used, gnu::retain,                                                                              \
    gnu::section("zoo_entries")]] static const zoo::RegisterFunction zoo_pointer_##kind##_##identifier = \
      &zoo_register_##kind##_##identifier;                                                               \
  static Entry zoo_entry_##kind##_##identifier()

#define ZOO_REGISTER_LAYER(identifier) ZOO_REGISTER_ENTRY_(layer, zoo::LayerEntry, identifier)
#define ZOO_REGISTER_FEED_FORWARD(identifier) ZOO_REGISTER_ENTRY_(feed_forward, zoo::LayerEntry, identifier)
#define ZOO_REGISTER_BACKBONE(identifier) ZOO_REGISTER_ENTRY_(backbone, zoo::BackboneEntry, identifier)
#define ZOO_REGISTER_TASK(identifier) ZOO_REGISTER_ENTRY_(task, zoo::TaskEntry, identifier)
