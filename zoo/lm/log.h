#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "zoo/io/event_file.h"

namespace zoo {

/// One optimizer step, as a log shows it.
struct LmStep {
  std::int64_t step = 0;  ///< steps done, this one included
  double loss = 0;        ///< mean over the batch's tokens before the update, nats
  double learning_rate = 0;
  std::optional<double> gradient_norm = {};
  std::int64_t tokens = 0;  ///< trained on so far
  double flops = 0;         ///< of training so far
  double seconds = 0;       ///< of training so far
  double tokens_per_second = 0;
};

/// An evaluation on the validation split.
struct LmEvaluation {
  std::int64_t step = 0;
  double loss = 0;
  double perplexity = 0;
};

/// The log of a run, written as it goes: log.jsonl, a line of JSON for each step ("step", "loss", "learning_rate",
/// "gradient_norm", "tokens", "flops", "seconds", "tokens_per_second") and for each evaluation ("step",
/// "validation_loss", "perplexity"), and an event file for TensorBoard.
class LmLog {
 public:
  /// Goes on with the log in a folder after step `done`: what it says of later steps is dropped, and with
  /// `evaluates_again` what it says of an evaluation after that step. Throws Error naming the file.
  LmLog(const std::filesystem::path& folder, std::int64_t done, bool evaluates_again);

  void add(const LmStep& step);
  void add(const LmEvaluation& evaluation);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  void write(const std::string& line);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  EventFile events_;
};

}  // namespace zoo
