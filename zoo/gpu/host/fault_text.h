#pragma once

#include <string>

namespace zoo::gpu::host {

/// A place in a kernel's source.
struct Site {
  const char* file = "";
  unsigned line = 0;

  bool operator==(const Site& other) const;
};

/// "file.cu:12".
std::string text(Site site);

/// The name of the function at an address, read from the symbol table of its module, without its parameters; the
/// address where the module has been stripped.
std::string function_name(const void* function);

}  // namespace zoo::gpu::host
