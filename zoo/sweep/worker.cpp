#include "zoo/sweep/worker.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/sweep/interrupt.h"
#include "zoo/sweep/protocol.h"

namespace zoo {

namespace {

void write_all(int file, const std::string& text) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(file, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error("cannot write a record to the sweep: {}", std::strerror(errno));
    written += static_cast<std::size_t>(count);
  }
}

std::string read_all(int file) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t count = read(file, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error("cannot read the run to train: {}", std::strerror(errno));
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace

int serve_worker(const ExecuteRun& execute, int requests, int records) {
  const InterruptGuard interrupt({SIGTERM});
  set_threads(1);
  RunEnd end;
  try {
    const WorkerRequest request = read_request(read_all(requests));
    end = execute(request.spec, request.checkpoint_path,
                  {.epoch = [&](const EpochResult& epoch) { write_all(records, write_message(epoch)); },
                   .progress = [&](const RunProgress& progress) { write_all(records, write_message(progress)); },
                   .stop_requested = [] { return InterruptGuard::count() > 0; }},
                  request.limits);
  } catch (const std::bad_alloc&) {
    end = {.status = RunStatus::failed, .message = "out of memory", .summary = nlohmann::json::object(), .slices = {}};
  } catch (const std::exception& error) {
    end = {.status = RunStatus::failed, .message = error.what(), .summary = nlohmann::json::object(), .slices = {}};
  }
  write_all(records, write_message(end));
  return 0;
}

}  // namespace zoo
