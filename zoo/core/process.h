#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace zoo {

/// What to run, and under which conditions.
struct ProcessRequest {
  std::vector<std::string> arguments = {};    ///< the program (a path, or a name looked up in PATH), then its arguments
  std::vector<std::string> environment = {};  ///< "NAME=value": added to this process's environment, or replacing in it
  std::string directory = {};                 ///< working directory; empty: this process's
  std::string input = {};                     ///< what it reads from its standard input
  std::optional<std::chrono::milliseconds> time_limit = {};  ///< it and what it started are killed after this time
  std::size_t output_limit = std::size_t{64} << 20;          ///< bytes kept of each stream, the last ones
};

/// How a process ended, and what it wrote.
struct ProcessResult {
  int exit_code = -1;      ///< -1 unless it exited by itself
  int signal = 0;          ///< the signal that killed it, 0 if none did
  bool timed_out = false;  ///< it was killed because its time was up (signal is then SIGKILL)
  std::string output;
  std::string error;
};

/// Starts a program in a process group of its own and waits for its end. Throws Error when it cannot be started.
/// Starting is by exec, so it is safe after OpenMP has run.
ProcessResult run_process(const ProcessRequest& request);

}  // namespace zoo
