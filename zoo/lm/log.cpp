#include "zoo/lm/log.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"

namespace zoo {

namespace {

using nlohmann::json;

// Keeps the lines of a log up to step `done`; a last line that a crash cut short goes too.
void cut_log(const std::filesystem::path& path, std::int64_t done, bool evaluates_again) {
  std::ifstream file(path);
  if (!file) return;
  std::string kept;
  std::string line;
  while (std::getline(file, line)) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer()) continue;
    const auto step = entry["step"].get<std::int64_t>();
    if (step > done || (evaluates_again && step == done && entry.contains("validation_loss"))) continue;
    kept += line + "\n";
  }
  write_file_atomically(path, kept);
}

}  // namespace

LmLog::LmLog(const std::filesystem::path& folder, std::int64_t done, bool evaluates_again)
    : path_(folder / "log.jsonl"), events_(folder, done + 1) {
  cut_log(path_, done, evaluates_again);
  file_.reset(std::fopen(path_.c_str(), "a"));
  if (!file_) throw Error("cannot write {}: {}", path_.string(), std::strerror(errno));
}

void LmLog::add(const LmStep& step) {
  json line = {{"step", step.step},
               {"loss", step.loss},
               {"learning_rate", step.learning_rate},
               {"tokens", step.tokens},
               {"flops", step.flops},
               {"seconds", step.seconds},
               {"tokens_per_second", step.tokens_per_second}};
  if (step.gradient_norm) line["gradient_norm"] = *step.gradient_norm;
  write(line.dump());
  const std::array<std::pair<std::string_view, double>, 4> scalars = {
      {{"train/loss", step.loss},
       {"train/learning_rate", step.learning_rate},
       {"train/tokens_per_second", step.tokens_per_second},
       {"train/gradient_norm", step.gradient_norm.value_or(0)}}};
  events_.add(step.step, std::span(scalars).first(step.gradient_norm ? 4 : 3));
}

void LmLog::add(const LmEvaluation& evaluation) {
  write(json({{"step", evaluation.step}, {"validation_loss", evaluation.loss}, {"perplexity", evaluation.perplexity}})
            .dump());
  const std::array<std::pair<std::string_view, double>, 2> scalars = {
      {{"validation/loss", evaluation.loss}, {"validation/perplexity", evaluation.perplexity}}};
  events_.add(evaluation.step, scalars);
}

void LmLog::write(const std::string& line) {
  if (std::fprintf(file_.get(), "%s\n", line.c_str()) < 0 || std::fflush(file_.get()) != 0) {
    throw Error("cannot write {}: {}; is the disk full?", path_.string(), std::strerror(errno));
  }
}

}  // namespace zoo
