#include "zoo/sweep/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>

#include "zoo/core/error.h"
#include "zoo/sweep/halving.h"
#include "zoo/sweep/interrupt.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/progress.h"
#include "zoo/sweep/units.h"
#include "zoo/sweep/workers.h"

namespace zoo {

namespace {

using std::chrono::steady_clock;

// How long workers may take to save after the first signal: a step and a checkpoint of the largest models.
constexpr auto stop_patience = std::chrono::seconds(60);
constexpr auto tick = std::chrono::milliseconds(200);

// One sweep under way.
class Sweep {
 public:
  Sweep(const SweepRequest& request, Store& store)
      : request_(request),
        store_(store),
        checkpoints_(checkpoint_directory(request.store_path)),
        jobs_(request.runs.size()),
        stages_(request.runs) {
    for (std::size_t run = 0; run < request.runs.size(); ++run) {
      ids_.push_back(request.runs[run].id());
      const auto known = store.find(ids_.back());
      const bool finished = known && is_finished(known->status);
      if (known) stages_.know(run, known->epochs, finished, known->status != RunStatus::diverged);
      if (finished) {
        ++result_.skipped;
      } else {
        jobs_[run] = todo_.size();
        todo_.push_back(run);
      }
    }
    stages_.begin();
    result_.left = static_cast<int>(todo_.size());
  }

  SweepResult make() {
    if (todo_.empty()) return result_;
    std::filesystem::create_directories(checkpoints_);
    remove_unfinished_files();
    const std::vector<std::string> all_names = describe_runs(request_.runs);
    std::vector<std::string> names;
    std::vector<double> work;
    for (const std::size_t run : todo_) {
      names.push_back(all_names[run]);
      work.push_back(request_.estimates[run].flops);
    }
    const int workers = std::min<int>(request_.workers, static_cast<int>(todo_.size()));
    SweepProgress progress(names, work, workers);
    if (result_.skipped > 0) progress.note(fmt::format("{} of {} runs are done already", result_.skipped, ids_.size()));
    {
      const InterruptGuard guard;
      const auto pool = request_.make_workers ? request_.make_workers()
                                              : std::make_unique<WorkerPool>(request_.worker_command, workers);
      work_through(*pool, progress);
    }
    remove_unfinished_files();
    std::error_code not_empty;
    std::filesystem::remove(checkpoints_, not_empty);
    return result_;
  }

 private:
  // What a worker was writing when it was killed; no worker is alive when this is called.
  void remove_unfinished_files() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(checkpoints_, ignored)) {
      if (entry.path().extension() == ".tmp") std::filesystem::remove(entry.path(), ignored);
    }
  }

  void work_through(Workers& pool, SweepProgress& progress) {
    int signals = 0;
    steady_clock::time_point stop_by;
    while (!pool.idle() || (signals == 0 && !stages_.empty())) {
      const int seen = InterruptGuard::count();
      if (signals == 0 && seen > 0) {
        progress.note("stopping: workers are saving their checkpoints (once more Ctrl-C: at once, from the last ones)");
        result_.interrupted = true;
        stop_by = steady_clock::now() + stop_patience;
        pool.request_stop();
      } else if (signals > 0 && (seen > signals || steady_clock::now() > stop_by)) {
        pool.kill_all();
      }
      signals = seen;
      while (signals == 0 && !stages_.empty() && pool.has_free_slot()) start(stages_.next(), pool, progress);
      for (const WorkerEvent& event : pool.wait(tick)) {
        std::visit([&](const auto& message) { hear(event.job, message, progress); }, event.message);
      }
      progress.refresh();
    }
  }

  void start(const Stage& stage, Workers& pool, SweepProgress& progress) {
    const RunSpec& spec = request_.runs[stage.job];
    const std::string& id = ids_[stage.job];
    const std::size_t job = jobs_[stage.job];
    const std::string checkpoint = (std::filesystem::path(checkpoints_) / (id + ".safetensors")).string();
    std::int64_t epochs = checkpoint_epochs(spec, checkpoint);
    // A checkpoint may be ahead of the store, when this process died between the two, or the store is a new one. What
    // is missing would never be told again, so such a run starts over.
    const auto before = store_.find(id);
    const std::int64_t recorded =
        before ? std::ranges::count_if(before->epochs, [&](const EpochResult& e) { return e.epoch <= epochs; }) : 0;
    if (recorded < epochs) {
      std::filesystem::remove(checkpoint);
      epochs = 0;
    }
    store_.begin(spec, request_.environment, epochs);
    pool.start(job, {.spec = spec,
                     .checkpoint_path = checkpoint,
                     .limits = {.pause_after = stage.pause_after, .end_after = stage.end_after}});
    progress.start(job, std::filesystem::exists(checkpoint));
  }

  void hear(std::size_t job, const RunProgress& report, SweepProgress& progress) { progress.progress(job, report); }

  void hear(std::size_t job, const EpochResult& epoch, SweepProgress&) {
    store_.add_epoch(ids_[todo_[job]], epoch);
    stages_.epoch(todo_[job], epoch);
  }

  void hear(std::size_t job, const RunEnd& end, SweepProgress& progress) {
    const bool stopped =
        result_.interrupted && (end.status == RunStatus::failed || end.status == RunStatus::interrupted);
    const RunStatus status = stopped ? RunStatus::interrupted : end.status;
    store_.finish(ids_[todo_[job]], status, stopped ? "stopped by a signal" : end.message, end.summary, end.slices);
    if (status == RunStatus::interrupted && !stopped) {
      progress.pause(job);
      stages_.paused(todo_[job]);
      return;
    }
    if (!stopped) --result_.left;
    stages_.ended(todo_[job], status == RunStatus::done);
    result_.done += status == RunStatus::done ? 1 : 0;
    result_.diverged += status == RunStatus::diverged ? 1 : 0;
    result_.failed += status == RunStatus::failed ? 1 : 0;
    progress.finish(job, stopped ? "interrupted" : words(status, end));
  }

  static std::string words(RunStatus status, const RunEnd& end) {
    if (status != RunStatus::done) {
      return end.message.empty() ? std::string(status_name(status))
                                 : fmt::format("{}: {}", status_name(status), end.message);
    }
    double correct = 0;
    double labelled = 0;
    for (const SliceResult& slice : end.slices) {
      if (slice.split != "test") continue;
      correct += slice.accuracy * static_cast<double>(slice.labelled);
      labelled += static_cast<double>(slice.labelled);
    }
    std::string text = fmt::format("test accuracy {:.3f}", labelled > 0 ? correct / labelled : 0.0);
    if (end.summary.contains("epochs")) {
      const auto epochs = end.summary.at("epochs").get<std::int64_t>();
      text += fmt::format(", {} {}", epochs, epochs == 1 ? "epoch" : "epochs");
    }
    if (end.summary.contains("train_seconds")) {
      text += fmt::format(" in {}", human_seconds(end.summary.at("train_seconds").get<double>()));
    }
    return text;
  }

  const SweepRequest& request_;
  Store& store_;
  std::string checkpoints_;
  std::vector<std::string> ids_;   // of all runs
  std::vector<std::size_t> todo_;  // job -> run
  std::vector<std::size_t> jobs_;  // run -> job, of those to do
  Stages stages_;                  // by run
  SweepResult result_;
};

}  // namespace

int SweepResult::exit_code() const {
  if (interrupted) return 130;
  return failed > 0 ? 1 : 0;
}

SweepResult run_sweep(const SweepRequest& request, Store& store) {
  return Sweep(request, store).make();
}

bool is_finished(RunStatus status) {
  return status == RunStatus::done || status == RunStatus::diverged;
}

bool is_finished(const Store& store, const std::string& id) {
  const auto run = store.find(id);
  return run && is_finished(run->status);
}

std::string checkpoint_directory(const std::string& store_path) {
  return store_path + ".checkpoints";
}

}  // namespace zoo
