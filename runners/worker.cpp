#include "zoo/sweep/worker.h"

#include <fcntl.h>
#include <unistd.h>

#include <span>
#include <string>

#include "runners/command.h"
#include "zoo/core/error.h"

namespace zoo {
namespace {

int run(std::span<const std::string>) {
  if (fcntl(worker_record_fd, F_SETFD, FD_CLOEXEC) != 0) {
    throw UsageError("zoo worker is started by zoo recall, which reads its records; it is of no use alone");
  }
  return serve_worker(execute_run, STDIN_FILENO, worker_record_fd);
}

const RegisterCommand command(
    {.name = "worker", .help = "train one run of a sweep in a process of its own", .run = run, .hidden = true});

}  // namespace
}  // namespace zoo
