#include "zoo/sweep/halving.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "zoo/core/error.h"

namespace zoo {

using nlohmann::json;

std::string search_key(const RunSpec& run) {
  json axes = run.axes;
  if (run.setting.contains("search")) {
    axes.erase("lr");
    axes.erase("seed");
  }
  return json({run.subject, axes, run.setting}).dump();
}

std::vector<std::int64_t> halving_rungs(std::size_t learning_rates, std::int64_t epochs) {
  if (learning_rates < 2) {
    throw UsageError("--search halving has one learning rate to choose from; give several with --lr a,b,c");
  }
  const int count = std::bit_width(learning_rates - 1);  // halvings until one is left
  if (epochs < std::int64_t{1} << count) {
    throw UsageError("--search halving of {} learning rates needs at least {} epochs, and --epochs is {}",
                     learning_rates, std::int64_t{1} << count, epochs);
  }
  std::vector<std::int64_t> rungs;
  for (int halving = count; halving > 0; --halving) rungs.push_back(epochs >> halving);
  return rungs;
}

Stages::Stages(const std::vector<RunSpec>& runs) {
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t job = 0; job < runs.size(); ++job) {
    const json search = runs[job].setting.value("search", json());
    const auto [place, is_new] = places.try_emplace(search_key(runs[job]), groups_.size());
    if (is_new) {
      groups_.emplace_back();
      if (!search.is_null()) groups_.back().rungs = search.at("rungs").get<std::vector<std::int64_t>>();
    }
    groups_[place->second].jobs.push_back(job);
    jobs_.emplace_back();
    jobs_.back().learning_rate = runs[job].axes.at("lr").get<double>();
    jobs_.back().group = place->second;
  }
}

void Stages::know(std::size_t job, const std::vector<EpochResult>& epochs, bool finished, bool good) {
  for (const EpochResult& each : epochs) epoch(job, each);
  jobs_[job].finished = finished;
  jobs_[job].good = good;
}

void Stages::begin() {
  // In the order of the runs, whatever their groups.
  for (const Group& group : groups_) advance(group);
  std::ranges::stable_sort(line_, {}, &Stage::job);
}

Stage Stages::next() {
  const Stage stage = line_.front();
  line_.pop_front();
  return stage;
}

void Stages::epoch(std::size_t job, const EpochResult& epoch) {
  jobs_[job].epochs[epoch.epoch] = epoch;
}

void Stages::paused(std::size_t job) {
  jobs_[job].in_line = false;
  advance(groups_[jobs_[job].group]);
}

void Stages::ended(std::size_t job, bool good) {
  jobs_[job].in_line = false;
  jobs_[job].finished = true;
  jobs_[job].good = good;
  advance(groups_[jobs_[job].group]);
}

// A run that ended before (solved, diverged) is judged by its last epoch.
bool Stages::reached(const Job& job, std::int64_t rung) const {
  return job.finished || job.epochs.contains(rung);
}

std::vector<double> Stages::better_half(const Group& group, const std::vector<double>& rates, std::int64_t rung) const {
  std::vector<std::tuple<double, double, double>> ranking;  // what is better stands first
  for (const double rate : rates) {
    double accuracy = 0;
    double loss = 0;
    for (const std::size_t index : group.jobs) {
      const Job& job = jobs_[index];
      if (job.learning_rate != rate) continue;
      const auto after = job.epochs.upper_bound(rung);
      const bool judged = job.good && after != job.epochs.begin();
      accuracy += judged ? std::prev(after)->second.validation_accuracy : -1;
      loss += judged ? std::prev(after)->second.validation_loss : std::numeric_limits<double>::infinity();
    }
    ranking.emplace_back(-accuracy, loss, rate);
  }
  std::ranges::sort(ranking);
  ranking.resize((ranking.size() + 1) / 2);
  std::vector<double> better;
  for (const auto& entry : ranking) better.push_back(std::get<2>(entry));
  return better;
}

void Stages::put_in_line(const Stage& stage) {
  Job& job = jobs_[stage.job];
  if (job.finished || job.in_line) return;
  job.in_line = true;
  line_.push_back(stage);
}

void Stages::advance(const Group& group) {
  std::vector<double> rates;
  for (const std::size_t job : group.jobs) {
    if (std::ranges::find(rates, jobs_[job].learning_rate) == rates.end()) rates.push_back(jobs_[job].learning_rate);
  }
  const auto among = [&](std::size_t job) { return std::ranges::find(rates, jobs_[job].learning_rate) != rates.end(); };
  for (const std::int64_t rung : group.rungs) {
    bool all = true;
    for (const std::size_t job : group.jobs) {
      if (!among(job) || reached(jobs_[job], rung)) continue;
      all = false;
      put_in_line({.job = job, .pause_after = rung});
    }
    if (!all) return;
    const std::vector<double> better = better_half(group, rates, rung);
    for (const std::size_t job : group.jobs) {
      const bool dropped = among(job) && std::ranges::find(better, jobs_[job].learning_rate) == better.end();
      if (dropped) put_in_line({.job = job, .end_after = rung});
    }
    rates = better;
  }
  for (const std::size_t job : group.jobs) {
    if (among(job)) put_in_line({.job = job});
  }
}

}  // namespace zoo
