#include "zoo/sweep/workers.h"

#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/sweep/spawn.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

// Appends what is there to read; false at the end of the file.
bool read_available(int file, std::string& text) {
  char buffer[16384];
  while (true) {
    const ssize_t count = read(file, buffer, sizeof buffer);
    if (count > 0) {
      text.append(buffer, static_cast<std::size_t>(count));
    } else if (count == 0) {
      return false;
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
}

void keep_tail(std::string& text) {
  constexpr std::size_t most = 8192;
  if (text.size() > most) text.erase(0, text.size() - most);
}

std::string last_line(std::string_view text) {
  text = trim(text);
  const auto newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

void close_if_open(int& file) {
  if (file >= 0) close(file);
  file = -1;
}

// While one lives, writing to a pipe that nobody reads is an error code, not the end of this process.
class PipeSignalIgnored {
 public:
  PipeSignalIgnored() : previous_(std::signal(SIGPIPE, SIG_IGN)) {}
  ~PipeSignalIgnored() { std::signal(SIGPIPE, previous_); }
  PipeSignalIgnored(const PipeSignalIgnored&) = delete;
  PipeSignalIgnored& operator=(const PipeSignalIgnored&) = delete;

 private:
  void (*previous_)(int);
};

RunEnd failure(std::string reason) {
  return {.status = RunStatus::failed, .message = std::move(reason), .summary = nlohmann::json::object(), .slices = {}};
}

}  // namespace

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
  }
  return cores;
}

WorkerPool::WorkerPool(std::vector<std::string> command, int count)
    : command_(std::move(command)), workers_(static_cast<std::size_t>(count)), cores_(allowed_cores()) {}

WorkerPool::~WorkerPool() {
  kill_all();
  for (Worker& worker : workers_) {
    if (worker.process < 0) continue;
    while (waitpid(worker.process, nullptr, 0) < 0 && errno == EINTR) {
    }
    close_if_open(worker.records);
    close_if_open(worker.errors);
  }
}

bool WorkerPool::has_free_slot() const {
  return std::ranges::any_of(workers_, [](const Worker& worker) { return worker.process < 0; });
}

bool WorkerPool::idle() const {
  return std::ranges::all_of(workers_, [](const Worker& worker) { return worker.process < 0; });
}

void WorkerPool::start(std::size_t job, const WorkerRequest& request) {
  const auto slot = std::ranges::find(workers_, -1, &Worker::process);
  if (slot == workers_.end()) throw Error("all workers are busy; wait for one to end");
  const auto index = static_cast<std::size_t>(slot - workers_.begin());
  const Child child = spawn(command_, cores_.empty() ? -1 : cores_[index % cores_.size()]);
  *slot = {.job = job,
           .process = child.process,
           .records = child.records,
           .errors = child.errors,
           .record_text = {},
           .error_tail = {},
           .ended = false};
  // A worker that died already breaks the pipe; it is reported when it is reaped.
  const PipeSignalIgnored guard;
  const std::string line = write_request(request);
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = ::write(child.input, line.data() + written, line.size() - written);
    if (count < 0 && errno != EINTR) break;
    if (count > 0) written += static_cast<std::size_t>(count);
  }
  close(child.input);
}

std::vector<WorkerEvent> WorkerPool::wait(std::chrono::milliseconds timeout) {
  std::vector<pollfd> files;
  for (const Worker& worker : workers_) {
    if (worker.process < 0) continue;
    files.push_back({.fd = worker.records, .events = POLLIN, .revents = 0});
    files.push_back({.fd = worker.errors, .events = POLLIN, .revents = 0});
  }
  poll(files.data(), files.size(), static_cast<int>(timeout.count()));
  std::vector<WorkerEvent> events;
  for (Worker& worker : workers_) {
    if (worker.process < 0) continue;
    if (worker.errors >= 0 && !read_available(worker.errors, worker.error_tail)) close_if_open(worker.errors);
    keep_tail(worker.error_tail);
    const bool open = read_available(worker.records, worker.record_text);
    read_records(worker, events);
    if (!open) reap(worker, events);
  }
  return events;
}

void WorkerPool::read_records(Worker& worker, std::vector<WorkerEvent>& events) {
  std::size_t newline;
  while ((newline = worker.record_text.find('\n')) != std::string::npos) {
    const std::string line = worker.record_text.substr(0, newline);
    worker.record_text.erase(0, newline + 1);
    if (worker.ended) continue;
    WorkerMessage message;
    try {
      message = read_message(line);
    } catch (const Error& error) {
      message = failure(error.what());
      kill(worker.process, SIGKILL);
    }
    worker.ended = std::holds_alternative<RunEnd>(message);
    events.push_back({worker.job, std::move(message)});
  }
}

void WorkerPool::reap(Worker& worker, std::vector<WorkerEvent>& events) {
  int status = 0;
  while (waitpid(worker.process, &status, 0) < 0 && errno == EINTR) {
  }
  if (worker.errors >= 0) read_available(worker.errors, worker.error_tail);
  if (!worker.ended) {
    std::string reason = "the worker " + describe_exit(status);
    if (const std::string line = last_line(worker.error_tail); !line.empty()) reason += ": " + line;
    events.push_back({worker.job, failure(std::move(reason))});
  }
  close_if_open(worker.records);
  close_if_open(worker.errors);
  worker.process = -1;
}

void WorkerPool::signal_all(int signal) {
  for (const Worker& worker : workers_) {
    if (worker.process >= 0) kill(worker.process, signal);
  }
}

void WorkerPool::request_stop() {
  signal_all(SIGTERM);
}
void WorkerPool::kill_all() {
  signal_all(SIGKILL);
}

}  // namespace zoo
