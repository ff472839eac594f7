#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace zoo {

/// The time until the last of `running` (work left of what is being done) and `waiting` (begun in this order) ends on
/// `workers` equal workers, in units of work.
double makespan(std::vector<double> running, const std::vector<double>& waiting, int workers);

/// How far a sweep is and how long it will take, from the work of its runs (FLOPs) and their fractions done. Times are
/// seconds on any one clock.
class WorkTracker {
 public:
  WorkTracker(std::vector<double> work, int workers);

  void start(std::size_t job, double now);
  /// A run that goes on from a checkpoint begins with a fraction above zero, which took none of this sweep's time: its
  /// first report is where it starts.
  void resume(std::size_t job, double now);
  void progress(std::size_t job, double fraction);
  /// It waits for others, and is gone on with by resume().
  void pause(std::size_t job, double now);
  void finish(std::size_t job, double now);

  /// Of all work, from 0 to 1.
  double fraction_done() const;
  /// From the speed of this sweep's workers so far; nothing until some work has been seen.
  std::optional<double> seconds_left(double now) const;

 private:
  enum class State { waiting, running, finished };
  struct Job {
    double work = 0;
    State state = State::waiting;
    double fraction = 0;
    std::optional<double> first_fraction;  // where this sweep took it up
    double started = 0;
    double seconds = 0;  // spent on it before it was last started, or until it finished
  };

  std::vector<Job> jobs_;
  int workers_;
};

}  // namespace zoo
