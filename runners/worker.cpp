#include "zoo/sweep/worker.h"

#include <fcntl.h>
#include <unistd.h>

#include <span>
#include <string>

#include "runners/command.h"
#include "zoo/core/error.h"

namespace zoo {
namespace {

int run(std::span<const std::string> arguments) {
  // The word tells zoo's own call from a curious user's, whose shell may have left any file open.
  const bool ours = arguments.size() == 1 && arguments[0] == "serve";
  if (!ours || fcntl(worker_record_fd, F_SETFD, FD_CLOEXEC) != 0) {
    throw UsageError("zoo worker is started by zoo recall, which reads its records; it is of no use alone");
  }
  return serve_worker(execute_run, STDIN_FILENO, worker_record_fd);
}

const RegisterCommand command(
    {.name = "worker", .help = "train one run of a sweep in a process of its own", .run = run, .hidden = true});

}  // namespace
}  // namespace zoo
