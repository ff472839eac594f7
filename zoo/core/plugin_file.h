#pragma once

#include <string>

namespace zoo {

/// Reads the stamp of the shared library at `path` without running any of its code, and compares it with this
/// program's. Throws UsageError saying what is wrong and what to do (without naming the file) for anything that is not
/// a whole shared library for this kind of machine, for one that is not a plugin, and for one built against another
/// plugin interface, compiler ABI or release.
void check_plugin_stamp(const std::string& path);

/// Opens the library for good (handles are never closed, since entries point into it) and registers what it holds: all
/// or nothing. Throws UsageError saying what is wrong and what to do, without naming the file.
void open_plugin(const std::string& path);

}  // namespace zoo
