#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "zoo/sweep/work.h"
#include "zoo/train/run.h"

namespace zoo {

/// Shows how a sweep goes on, on standard error. On a terminal: one line with a bar, rewritten in place. Without one:
/// a plain line as each run ends, and one a minute in between.
class SweepProgress {
 public:
  /// `names` and `work` (FLOPs) of the runs to do.
  SweepProgress(std::vector<std::string> names, std::vector<double> work, int workers);
  ~SweepProgress();
  SweepProgress(const SweepProgress&) = delete;
  SweepProgress& operator=(const SweepProgress&) = delete;

  void start(std::size_t job, bool resumed);
  void progress(std::size_t job, const RunProgress& progress);
  /// It waits for others.
  void pause(std::size_t job);
  /// Prints "[3/8] NAME: WORDS".
  void finish(std::size_t job, const std::string& words);
  /// Prints a line of its own.
  void note(const std::string& line);
  /// Draws again if it is time to.
  void refresh();

 private:
  double now() const;
  std::string status_line() const;
  void erase_line() const;

  std::vector<std::string> names_;
  WorkTracker work_;
  std::map<std::size_t, RunProgress> running_;
  std::size_t finished_ = 0;
  std::chrono::steady_clock::time_point began_;
  double next_draw_;
  bool terminal_;
};

/// Columns of the terminal that the file descriptor is, 0 when it is none.
std::size_t terminal_width(int file);

/// "[########------------]": `width` places between the brackets, `fraction` of them filled.
std::string progress_bar(double fraction, int width);

}  // namespace zoo
