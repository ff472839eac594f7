#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "zoo/sweep/protocol.h"

namespace zoo {

/// Something a worker said about the run that it was given under the number `job`. A RunEnd is always the last; the
/// pool makes one up, `failed` with the reason, for a worker that died without a word.
struct WorkerEvent {
  std::size_t job = 0;
  WorkerMessage message;
};

/// Who makes a sweep's runs, some at a time: processes of this machine, or of others.
class Workers {
 public:
  virtual ~Workers() = default;
  virtual bool has_free_slot() const = 0;
  virtual bool idle() const = 0;
  /// Gives a run to a free worker. Throws Error when that cannot be.
  virtual void start(std::size_t job, const WorkerRequest& request) = 0;
  /// What workers have said, waiting up to `timeout` for something. Returns early when a signal arrives.
  virtual std::vector<WorkerEvent> wait(std::chrono::milliseconds timeout) = 0;
  /// Asks all workers to save and end.
  virtual void request_stop() = 0;
  /// Ends all workers at once; wait() reports them.
  virtual void kill_all() = 0;
};

/// Worker processes, one run each, one thread each, each pinned to a core of its own as far as cores go. A worker dies
/// with this process. Use it from the main thread alone.
class WorkerPool final : public Workers {
 public:
  /// `command` starts a worker: the path of a program and its arguments (it gets its request on standard input and
  /// writes records to worker_record_fd). At most `count` run at a time.
  WorkerPool(std::vector<std::string> command, int count);
  /// Kills and reaps what still runs.
  ~WorkerPool() override;
  /// Lets workers run on any core: where others pin theirs too, and all would take the same.
  void leave_unpinned() { cores_.clear(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  bool has_free_slot() const override;
  bool idle() const override;
  /// Starts a worker on a run; throws Error when the system refuses a process.
  void start(std::size_t job, const WorkerRequest& request) override;
  std::vector<WorkerEvent> wait(std::chrono::milliseconds timeout) override;
  /// By SIGTERM.
  void request_stop() override;
  /// By SIGKILL.
  void kill_all() override;

 private:
  struct Worker {
    std::size_t job = 0;
    pid_t process = -1;  // -1: the slot is free
    int records = -1;
    int errors = -1;
    std::string record_text;  // not yet a whole line
    std::string error_tail;   // the end of what it wrote to standard error
    bool ended = false;       // said how its run ended
  };

  void signal_all(int signal);
  void read_records(Worker& worker, std::vector<WorkerEvent>& events);
  void reap(Worker& worker, std::vector<WorkerEvent>& events);

  std::vector<std::string> command_;
  std::vector<Worker> workers_;
  std::vector<int> cores_;
};

/// The cores that this process may use.
std::vector<int> allowed_cores();

}  // namespace zoo
