#include "zoo/sweep/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "zoo/sweep/units.h"

namespace zoo {

namespace {

constexpr double terminal_interval = 0.2;
constexpr double plain_interval = 60;

}  // namespace

std::size_t terminal_width(int file) {
  winsize size = {};
  if (ioctl(file, TIOCGWINSZ, &size) != 0) return 0;
  // A terminal that does not tell is taken for the smallest usual one.
  return size.ws_col > 0 ? size.ws_col : 80;
}

std::string progress_bar(double fraction, int width) {
  const int filled = static_cast<int>(std::floor(std::clamp(fraction, 0.0, 1.0) * width));
  return fmt::format("[{}{}]", std::string(static_cast<std::size_t>(filled), '#'),
                     std::string(static_cast<std::size_t>(width - filled), '-'));
}

SweepProgress::SweepProgress(std::vector<std::string> names, std::vector<double> work, int workers)
    : names_(std::move(names)),
      work_(std::move(work), workers),
      began_(std::chrono::steady_clock::now()),
      terminal_(isatty(STDERR_FILENO) == 1) {
  next_draw_ = terminal_ ? 0 : plain_interval;
}

SweepProgress::~SweepProgress() {
  erase_line();
}

double SweepProgress::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

void SweepProgress::start(std::size_t job, bool resumed) {
  resumed ? work_.resume(job, now()) : work_.start(job, now());
  running_[job] = {};
}

void SweepProgress::progress(std::size_t job, const RunProgress& progress) {
  work_.progress(job, progress.fraction);
  running_[job] = progress;
}

void SweepProgress::pause(std::size_t job) {
  work_.pause(job, now());
  running_.erase(job);
}

void SweepProgress::finish(std::size_t job, const std::string& words) {
  work_.finish(job, now());
  running_.erase(job);
  ++finished_;
  note(fmt::format("[{}/{}] {}: {}", finished_, names_.size(), names_[job], words));
}

void SweepProgress::note(const std::string& line) {
  erase_line();
  fmt::print(stderr, "{}\n", line);
  std::fflush(stderr);
  if (terminal_) next_draw_ = 0;
}

void SweepProgress::refresh() {
  const double time = now();
  if (time < next_draw_ || running_.empty()) return;
  next_draw_ = time + (terminal_ ? terminal_interval : plain_interval);
  std::string line = status_line();
  if (terminal_) {
    const std::size_t width = terminal_width(STDERR_FILENO);
    if (width > 0 && line.size() >= width) line.resize(width - 1);
    fmt::print(stderr, "\r\033[K{}", line);
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

std::string SweepProgress::status_line() const {
  const double fraction = work_.fraction_done();
  std::string line = fmt::format("{} {}/{} runs {:3.0f}%", progress_bar(fraction, 10), finished_, names_.size(),
                                 std::floor(100 * fraction));
  if (const auto left = work_.seconds_left(now())) line += fmt::format(", {} left", human_seconds(*left));
  for (const auto& [job, progress] : running_) {
    line += fmt::format(" | {}", names_[job]);
    if (progress.epoch > 0) line += fmt::format(": epoch {} loss {:.3f}", progress.epoch, progress.train_loss);
  }
  return line;
}

void SweepProgress::erase_line() const {
  if (!terminal_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace zoo
