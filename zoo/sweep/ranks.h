#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "zoo/core/collective.h"
#include "zoo/sweep/workers.h"

namespace zoo {

/// The processes of one job on several machines, as MPI numbers them: rank 0 hands out, the others work. Texts arrive
/// whole, and in order from each sender.
class Ranks : public Collective {
 public:
  virtual void send(int to, const std::string& text) = 0;
  /// A text that has arrived, and who sent it; nothing when none has. Does not wait.
  virtual std::optional<std::pair<int, std::string>> receive() = 0;
};

/// Rank 0's view of the others: each is a worker that makes one run at a time.
class RankWorkers final : public Workers {
 public:
  /// `ranks` must outlive it.
  explicit RankWorkers(Ranks& ranks);
  /// Ends what still runs on the others; they wait for more.
  ~RankWorkers() override;
  RankWorkers(const RankWorkers&) = delete;
  RankWorkers& operator=(const RankWorkers&) = delete;

  bool has_free_slot() const override;
  bool idle() const override;
  void start(std::size_t job, const WorkerRequest& request) override;
  std::vector<WorkerEvent> wait(std::chrono::milliseconds timeout) override;
  void request_stop() override;
  void kill_all() override;

 private:
  void tell_busy(const std::string& text);

  Ranks* ranks_;
  std::vector<std::optional<std::size_t>> jobs_;  // of each rank, the run that it is making
};

/// The life of any other rank: makes the runs that rank 0 hands out, each in a process of its own (`worker_command`),
/// and passes on what is said, until dismiss_ranks(). A crashed run is reported, as on one machine.
void serve_rank(Ranks& ranks, const std::vector<std::string>& worker_command);
/// Tells all other ranks that there is nothing more to do.
void dismiss_ranks(Ranks& ranks);

}  // namespace zoo
