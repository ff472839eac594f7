#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "zoo/io/store.h"

namespace zoo {

/// The epochs at which successive halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and
/// hyperparameter optimization") looks at so many learning rates: after each the better half goes on, until one is left
/// for the last half of the epochs. Throws UsageError when there are too few of either.
std::vector<std::int64_t> halving_rungs(std::size_t learning_rates, std::int64_t epochs);

/// Equal for the runs that a search compares, which differ in learning rate and seed alone and must be made in one
/// place; a run whose setting has no `search` has a key of its own.
std::string search_key(const RunSpec& run);

/// A piece of a run that a worker is to make.
struct Stage {
  std::size_t job = 0;           ///< the run, by index
  std::int64_t pause_after = 0;  ///< epochs after which the run waits for others; 0: it is made to its end
  std::int64_t end_after = 0;    ///< epochs after which it ends early; 0: when its setting says
};

/// In which pieces the runs of a sweep are made. A run whose setting has no `search` is one piece. Those that differ in
/// learning rate and seed alone, and whose setting says "search": {"name": "halving", "rungs": [4, 8]}, are made up to
/// the first rung, all of them; then the half of the learning rates with the better mean validation accuracy over seeds
/// (of equals, the one with the lower loss, then the lower rate) goes on to the next. What is decided follows from
/// recorded epochs alone, so a sweep that is stopped and gone on with decides the same.
class Stages {
 public:
  /// Runs in the order in which they should be made.
  explicit Stages(const std::vector<RunSpec>& runs);

  /// What the store knows of a run, before anything is made; `good` as for ended().
  void know(std::size_t job, const std::vector<EpochResult>& epochs, bool finished, bool good);
  /// Puts what can be made in line; call it once when all is known.
  void begin();

  bool empty() const { return line_.empty(); }
  Stage next();

  void epoch(std::size_t job, const EpochResult& epoch);
  /// A run has reached the end of its piece, and is not finished.
  void paused(std::size_t job);
  /// A run has ended; `good`: with a result to be judged by, not diverged or failed.
  void ended(std::size_t job, bool good);

 private:
  struct Job {
    double learning_rate = 0;
    std::size_t group = 0;
    std::map<std::int64_t, EpochResult> epochs;
    bool in_line = false;  // or at work
    bool finished = false;
    bool good = true;
  };
  struct Group {
    std::vector<std::int64_t> rungs;
    std::vector<std::size_t> jobs;
  };

  bool reached(const Job& job, std::int64_t rung) const;
  std::vector<double> better_half(const Group& group, const std::vector<double>& rates, std::int64_t rung) const;
  void put_in_line(const Stage& stage);
  void advance(const Group& group);

  std::vector<Job> jobs_;
  std::vector<Group> groups_;
  std::deque<Stage> line_;
};

}  // namespace zoo
