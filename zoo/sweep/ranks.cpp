#include "zoo/sweep/ranks.h"

#include <algorithm>
#include <csignal>
#include <thread>

#include "zoo/core/error.h"
#include "zoo/sweep/interrupt.h"

namespace zoo {

namespace {

using std::chrono::steady_clock;

// What rank 0 says: this letter, and for `run_this` the request.
constexpr char run_this = 'r';
constexpr char stop = 's';
constexpr char kill_now = 'k';
constexpr char dismissed = 'd';

// How long nobody looks for a text: far below the time of a step.
constexpr auto pause = std::chrono::milliseconds(5);

}  // namespace

RankWorkers::RankWorkers(Ranks& ranks) : ranks_(&ranks), jobs_(static_cast<std::size_t>(ranks.size())) {}

RankWorkers::~RankWorkers() {
  kill_all();
}

bool RankWorkers::has_free_slot() const {
  return std::any_of(jobs_.begin() + 1, jobs_.end(), [](const auto& job) { return !job; });
}

bool RankWorkers::idle() const {
  return std::ranges::none_of(jobs_, [](const auto& job) { return job.has_value(); });
}

void RankWorkers::start(std::size_t job, const WorkerRequest& request) {
  const auto free = std::find(jobs_.begin() + 1, jobs_.end(), std::nullopt);
  if (free == jobs_.end()) throw Error("all ranks are busy; wait for one to end its run");
  *free = job;
  ranks_->send(static_cast<int>(free - jobs_.begin()), run_this + write_request(request));
}

std::vector<WorkerEvent> RankWorkers::wait(std::chrono::milliseconds timeout) {
  const auto until = steady_clock::now() + timeout;
  const int signals = InterruptGuard::count();
  std::vector<WorkerEvent> events;
  while (true) {
    while (const auto text = ranks_->receive()) {
      auto& job = jobs_[static_cast<std::size_t>(text->first)];
      if (!job) continue;
      events.push_back({*job, read_message(text->second)});
      if (std::holds_alternative<RunEnd>(events.back().message)) job.reset();
    }
    if (!events.empty() || steady_clock::now() >= until || InterruptGuard::count() > signals) return events;
    std::this_thread::sleep_for(pause);
  }
}

void RankWorkers::tell_busy(const std::string& text) {
  for (std::size_t rank = 1; rank < jobs_.size(); ++rank) {
    if (jobs_[rank]) ranks_->send(static_cast<int>(rank), text);
  }
}

void RankWorkers::request_stop() {
  tell_busy({stop});
}
void RankWorkers::kill_all() {
  tell_busy({kill_now});
}

void dismiss_ranks(Ranks& ranks) {
  for (int rank = 1; rank < ranks.size(); ++rank) ranks.send(rank, {dismissed});
}

void serve_rank(Ranks& ranks, const std::vector<std::string>& worker_command) {
  // A signal that the launcher sends to all is rank 0's to act on: it says stop.
  const InterruptGuard guard;
  WorkerPool pool(worker_command, 1);
  pool.leave_unpinned();
  const auto pass_on = [&] {
    for (const WorkerEvent& event : pool.wait(pause)) ranks.send(0, write_message(event.message));
  };
  while (true) {
    while (const auto text = ranks.receive()) {
      switch (text->second.empty() ? dismissed : text->second.front()) {
        case run_this:
          // The process before has said how its run ended, and may still be about to end itself.
          while (!pool.idle()) pass_on();
          pool.start(0, read_request(text->second.substr(1)));
          break;
        case stop:
          pool.request_stop();
          break;
        case kill_now:
          pool.kill_all();
          break;
        default:
          return;
      }
    }
    if (pool.idle()) std::this_thread::sleep_for(pause);
    pass_on();
  }
}

}  // namespace zoo
