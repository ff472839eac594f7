#pragma once

#include <cstring>
#include <string>

namespace zoo::gpu::host {

/// Whether two texts are equal; nearly always they are the same literal.
inline bool same_text(const char* a, const char* b) {
  return a == b || std::strcmp(a, b) == 0;
}

/// A place in a kernel's source.
struct Site {
  const char* file = "";
  unsigned line = 0;

  bool operator==(const Site& other) const { return line == other.line && same_text(file, other.file); }
};

/// "file.cu:12".
std::string text(Site site);

/// The name of the function at an address, read from the symbol table of its module, without its parameters; the
/// address where the module has been stripped.
std::string function_name(const void* function);

}  // namespace zoo::gpu::host
