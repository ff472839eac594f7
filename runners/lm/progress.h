#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "zoo/lm/log.h"

namespace zoo {

/// Shows on standard error how the training of a language model goes on. On a terminal: one line with a bar, rewritten
/// in place. Without one: a plain line at each evaluation, and one a minute in between.
class LmProgress {
 public:
  /// `name` begins each line; `steps` in all.
  LmProgress(std::string name, std::int64_t steps);
  ~LmProgress();
  LmProgress(const LmProgress&) = delete;
  LmProgress& operator=(const LmProgress&) = delete;

  void begin(std::int64_t done);
  void step(const LmStep& step);
  /// Within a step, so many of its sequences are done.
  void part(std::int64_t step, std::int64_t done, std::int64_t all);
  void evaluation(const LmEvaluation& evaluation);
  void note(const std::string& line);

 private:
  void draw(const std::string& line);
  void erase() const;

  std::string name_;
  std::int64_t steps_;
  std::int64_t first_ = 0;    // steps that were done before
  double first_seconds_ = 0;  // of training, then
  double next_draw_ = 0;
  std::string last_;  // what the last step had to say
  std::chrono::steady_clock::time_point next_part_;
  bool terminal_;
};

}  // namespace zoo
