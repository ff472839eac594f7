#include "zoo/sweep/work.h"

#include <algorithm>
#include <utility>

namespace zoo {

double makespan(std::vector<double> running, const std::vector<double>& waiting, int workers) {
  running.resize(std::max<std::size_t>(running.size(), static_cast<std::size_t>(workers)), 0.0);
  for (const double work : waiting) *std::ranges::min_element(running) += work;
  return std::ranges::max(running);
}

WorkTracker::WorkTracker(std::vector<double> work, int workers) : workers_(workers) {
  for (const double amount : work) {
    jobs_.emplace_back();
    jobs_.back().work = std::max(amount, 1.0);
  }
}

void WorkTracker::start(std::size_t job, double now) {
  jobs_[job].state = State::running;
  jobs_[job].started = now;
  jobs_[job].first_fraction = 0;
}

void WorkTracker::resume(std::size_t job, double now) {
  const bool was_here = jobs_[job].seconds > 0;  // paused by this sweep
  jobs_[job].state = State::running;
  jobs_[job].started = now;
  if (!was_here) jobs_[job].first_fraction.reset();
}

void WorkTracker::pause(std::size_t job, double now) {
  jobs_[job].state = State::waiting;
  jobs_[job].seconds += now - jobs_[job].started;
}

void WorkTracker::progress(std::size_t job, double fraction) {
  Job& running = jobs_[job];
  running.fraction = std::clamp(fraction, running.fraction, 1.0);
  if (!running.first_fraction) running.first_fraction = running.fraction;
}

void WorkTracker::finish(std::size_t job, double now) {
  jobs_[job].state = State::finished;
  jobs_[job].seconds += now - jobs_[job].started;
  jobs_[job].fraction = 1;
}

double WorkTracker::fraction_done() const {
  double done = 0;
  double all = 0;
  for (const Job& job : jobs_) {
    done += job.fraction * job.work;
    all += job.work;
  }
  return all > 0 ? done / all : 1;
}

std::optional<double> WorkTracker::seconds_left(double now) const {
  double done = 0;
  double seconds = 0;
  std::vector<double> running;
  std::vector<double> waiting;
  for (const Job& job : jobs_) {
    if (job.state == State::waiting) waiting.push_back((1 - job.fraction) * job.work);
    if (job.state == State::waiting && job.seconds == 0) continue;
    done += (job.fraction - job.first_fraction.value_or(job.fraction)) * job.work;
    seconds += job.seconds + (job.state == State::running ? now - job.started : 0);
    if (job.state == State::running) running.push_back((1 - job.fraction) * job.work);
  }
  if (done <= 0 || seconds <= 0) return std::nullopt;
  return makespan(std::move(running), waiting, workers_) * seconds / done;
}

}  // namespace zoo
