#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "zoo/core/task.h"
#include "zoo/core/version.h"
#include "zoo/nn/backbone.h"

namespace zoo {

/// Where entries are collected.
class Registrar {
 public:
  virtual ~Registrar() = default;
  virtual void layer(LayerEntry entry) = 0;
  virtual void feed_forward(LayerEntry entry) = 0;
  virtual void backbone(BackboneEntry entry) = 0;
  virtual void task(TaskEntry entry) = 0;
};

using RegisterFunction = void (*)(Registrar&);

/// Throws UsageError when an entry of this kind ("layer") cannot have that name: 1 to 64 of a-z, 0-9 and _ are allowed,
/// since names stand in lists, in files' names and in hybrids ("base_conv+attention").
void check_entry_name(const std::string& kind, const std::string& name);

/// Calls the functions, then adds what they registered to the registries: all of it, or, when one of them throws or a
/// name is taken, nothing.
void register_entries(std::span<const RegisterFunction> functions);

/// Changes whenever a plugin built before must be built again.
inline constexpr std::uint32_t plugin_abi = 6;

/// What must be equal on both sides of a C++ interface, besides the machine: the standard library and how its strings
/// and containers are laid out, and whether a tensor's elements may lie on a GPU, whose kernels have to be waited for.
#if defined(__GLIBCXX__)
#if defined(_GLIBCXX_DEBUG)
#define ZOO_CONTAINERS_ " debug"
#else
#define ZOO_CONTAINERS_ ""
#endif
#if _GLIBCXX_USE_CXX11_ABI
inline constexpr std::string_view compiler_abi =
    gpu_built ? "libstdc++ cxx11" ZOO_CONTAINERS_ " gpu" : "libstdc++ cxx11" ZOO_CONTAINERS_;
#else
inline constexpr std::string_view compiler_abi =
    gpu_built ? "libstdc++ cxx98" ZOO_CONTAINERS_ " gpu" : "libstdc++ cxx98" ZOO_CONTAINERS_;
#endif
#undef ZOO_CONTAINERS_
#else
inline constexpr std::string_view compiler_abi = gpu_built ? "libc++ gpu" : "libc++";
#endif

/// A plugin's stamp: the content of an ELF note, so that it can be read before any of the plugin's code runs.
struct PluginStamp {
  std::uint32_t abi = plugin_abi;
  char compiler[44] = {};
  char version[16] = {};
};

/// The ELF note itself.
struct PluginNote {
  std::uint32_t name_size = sizeof(name);
  std::uint32_t description_size = sizeof(PluginStamp);
  std::uint32_t type = 1;
  char name[4] = {'z', 'o', 'o', '\0'};
  PluginStamp stamp;
};
static_assert(sizeof(PluginNote) == 16 + 64);

/// The stamp of what is compiled against these headers.
constexpr PluginNote this_note() {
  PluginNote note;
  compiler_abi.copy(note.stamp.compiler, sizeof(note.stamp.compiler) - 1);
  std::string_view(version).copy(note.stamp.version, sizeof(note.stamp.version) - 1);
  return note;
}

/// The registration functions of one shared object.
struct PluginEntries {
  const RegisterFunction* begin;
  const RegisterFunction* end;
};

/// The function that every plugin exports, by its name and type.
inline constexpr const char* plugin_entries_symbol = "zoo_plugin_entries";
using PluginEntriesFunction = PluginEntries (*)();

}  // namespace zoo
