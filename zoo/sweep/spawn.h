#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace zoo {

/// A child process and our ends of its pipes.
struct Child {
  pid_t process = -1;
  int input = -1;    ///< writes to its standard input; blocking
  int records = -1;  ///< reads what it writes to worker_record_fd; does not block
  int errors = -1;   ///< reads what it writes to standard output and error; does not block
};

/// Starts command[0] with arguments command[1..], pinned to `core` (-1: anywhere), with OMP_NUM_THREADS=1. The child is
/// killed when the calling thread's process ends in whatever way, and does not react to Ctrl-C on its own. Throws
/// Error.
Child spawn(const std::vector<std::string>& command, int core);

/// How a process ended, in words: "exited with code 3", "was killed by signal 11 (Segmentation fault)".
std::string describe_exit(int wait_status);

}  // namespace zoo
