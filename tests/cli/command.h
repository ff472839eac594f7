#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/temporary_directory.h"
#include "zoo/core/error.h"
#include "zoo/core/process.h"

namespace zoo::test {

/// The command's conditions, beyond its arguments.
struct CommandSettings {
  std::vector<std::string> environment = {};  ///< "NAME=value"
  std::string directory = {};                 ///< where it runs; empty: here
  std::string input = {};
  std::chrono::milliseconds time_limit = std::chrono::minutes(2);
};

/// Runs the real `zoo` with these arguments and returns exit_code, signal, timed_out, output (stdout), error (stderr).
inline ProcessResult run_zoo(std::vector<std::string> arguments, const CommandSettings& settings = {}) {
  arguments.insert(arguments.begin(), ZOO_COMMAND);
  return run_process({.arguments = std::move(arguments),
                      .environment = settings.environment,
                      .directory = settings.directory,
                      .input = settings.input,
                      .time_limit = settings.time_limit});
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot open {}", path.string());
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

inline void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  if (!file.write(content.data(), static_cast<std::streamsize>(content.size())).flush()) {
    throw Error("cannot write {}", path.string());
  }
}

}  // namespace zoo::test
