#include "runners/lm/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "zoo/sweep/progress.h"
#include "zoo/sweep/units.h"

namespace zoo {

namespace {

constexpr double terminal_interval = 0.25;  // seconds between two drawings
constexpr double plain_interval = 60;

}  // namespace

LmProgress::LmProgress(std::string name, std::int64_t steps)
    : name_(std::move(name)), steps_(steps), terminal_(isatty(STDERR_FILENO) != 0) {}

LmProgress::~LmProgress() {
  erase();
}

void LmProgress::begin(std::int64_t done) {
  first_ = done;
  first_seconds_ = -1;
  if (done > 0) note(fmt::format("{}: goes on after step {} of {}", name_, done, steps_));
}

void LmProgress::step(const LmStep& step) {
  const double own_seconds =
      1 / step.tokens_per_second * static_cast<double>(step.tokens) / static_cast<double>(step.step);
  if (first_seconds_ < 0) {
    first_seconds_ = step.seconds - own_seconds;
    next_draw_ = terminal_ ? 0 : step.seconds + plain_interval;
  }
  if (step.seconds < next_draw_) return;
  next_draw_ = step.seconds + (terminal_ ? terminal_interval : plain_interval);
  const double pace = (step.seconds - first_seconds_) / static_cast<double>(step.step - first_);
  const double fraction = static_cast<double>(step.step) / static_cast<double>(steps_);
  last_ = fmt::format(", loss {:.4f}, {:.0f} tokens/s, {} left", step.loss, step.tokens_per_second,
                      human_seconds(pace * static_cast<double>(steps_ - step.step)));
  draw(fmt::format("{} {} step {}/{}{}", progress_bar(fraction, 10), name_, step.step, steps_, last_));
}

void LmProgress::part(std::int64_t step, std::int64_t done, std::int64_t all) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = std::chrono::duration<double>(terminal_ ? terminal_interval : plain_interval);
  const auto next = now + std::chrono::duration_cast<std::chrono::steady_clock::duration>(interval);
  // A step that takes less than that shows itself.
  if (done == 0) next_part_ = next;
  if (now < next_part_) return;
  next_part_ = next;
  const double fraction = (static_cast<double>(step - 1) + static_cast<double>(done) / static_cast<double>(all)) /
                          static_cast<double>(steps_);
  draw(fmt::format("{} {} step {}/{}, sequence {} of {}{}", progress_bar(fraction, 10), name_, step, steps_, done, all,
                   last_));
}

void LmProgress::draw(const std::string& text) {
  std::string line = text;
  const std::size_t width = terminal_ ? terminal_width(STDERR_FILENO) : 0;
  if (width > 0 && line.size() >= width) line.resize(width - 1);
  fmt::print(stderr, "{}{}{}", terminal_ ? "\r\033[K" : "", line, terminal_ ? "" : "\n");
  std::fflush(stderr);
}

void LmProgress::evaluation(const LmEvaluation& evaluation) {
  note(fmt::format("{}: step {}, validation loss {:.4f}, perplexity {:.3f}", name_, evaluation.step, evaluation.loss,
                   evaluation.perplexity));
}

void LmProgress::note(const std::string& line) {
  erase();
  fmt::print(stderr, "{}\n", line);
  std::fflush(stderr);
}

void LmProgress::erase() const {
  if (!terminal_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace zoo
