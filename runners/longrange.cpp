#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "runners/command.h"
#include "runners/sweep_command.h"
#include "zoo/core/error.h"
#include "zoo/core/task.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

// A length: a number, or a power of two as 2^8.
std::int64_t parse_length(const std::string& option, const std::string& text) {
  const auto power = split(text, '^');
  if (power.size() == 1) return parse_integer(option, text, 1);
  const std::int64_t exponent = power.size() == 2 && power[0] == "2" ? parse_integer(option, power[1], 0) : -1;
  if (exponent < 0 || exponent > 24) {
    throw UsageError("{} '{}' is not a length; write a number, or a power of two from 2^0 to 2^24", option, text);
  }
  return std::int64_t{1} << exponent;
}

// "256,1024,2^12", or "2^8..2^20": each twice the one before.
std::vector<std::int64_t> parse_lengths(const std::string& option, const std::string& text) {
  std::vector<std::int64_t> lengths;
  for (const std::string& item : split_list(option, text)) {
    const auto dots = item.find("..");
    const std::int64_t first = parse_length(option, item.substr(0, dots));
    const std::int64_t last = dots == std::string::npos ? first : parse_length(option, item.substr(dots + 2));
    if (last < first) throw UsageError("{} {} goes down; write the shorter length first", option, item);
    for (std::int64_t length = first; length <= last; length *= 2) lengths.push_back(length);
  }
  std::ranges::sort(lengths);
  if (const auto twice = std::ranges::adjacent_find(lengths); twice != lengths.end()) {
    throw UsageError("{} has {} twice; say it once", option, *twice);
  }
  return lengths;
}

// Longer sequences are fewer, so that a length takes about as long as the one before; never fewer than this.
constexpr std::int64_t fewest_examples = 16;

// Train short, test long: validation, which chooses, sees the length of training.
std::vector<Cell> with_lengths(const std::vector<Cell>& cells, std::int64_t train_length,
                               const std::vector<std::int64_t>& test_lengths) {
  std::vector<Cell> all = cells;
  for (Cell& cell : all) {
    for (CellPart& part : cell.train) part.options["seq_len"] = train_length;
    const std::vector<CellPart> kinds = cell.test;
    cell.test.clear();
    cell.validation.clear();
    for (const CellPart& kind : kinds) {
      cell.validation.push_back(kind);
      cell.validation.back().options["seq_len"] = train_length;
      for (const std::int64_t length : test_lengths) {
        cell.test.push_back(kind);
        cell.test.back().options["seq_len"] = length;
        const std::int64_t examples = kind.examples * train_length / std::max(length, train_length);
        cell.test.back().examples = std::max(examples, std::min(fewest_examples, kind.examples));
      }
    }
  }
  return all;
}

std::vector<RunSpec> plan(const SweepOptions& options) {
  const auto own = [&](const char* name, const std::string& otherwise) {
    const auto given = options.own.find(name);
    return given == options.own.end() ? otherwise : given->second;
  };
  const std::int64_t train_length = parse_length("--train-len", own("train-len", "256"));
  const auto test_lengths = parse_lengths("--test-len", own("test-len", "2^6..2^14"));
  std::vector<RunSpec> runs;
  for (const std::string& task : split_list("--tasks", own("tasks", "flip_flop,parity,s5"))) {
    if (task_registry().get(task).options.find("seq_len") == nullptr) {
      throw UsageError("task {} has no option seq_len, so it cannot be tested at other lengths", task);
    }
    std::vector<SettingSource> sources = options.sources;
    sources.front().values.emplace_back("task", task);
    SweepSettings settings = read_sweep_settings(sources);
    settings.cells = with_lengths(settings.cells, train_length, test_lengths);
    const auto planned = plan_runs(settings);
    runs.insert(runs.end(), planned.begin(), planned.end());
  }
  return runs;
}

// Mamba's setting for induction heads (Gu and Dao 2023, section 4.1.2), at a length of training for a laptop: no
// feed-forward, fresh data, a constant rate.
Preset defaults() {
  return {.name = "default",
          .description = "",
          .settings = {.origin = "the defaults",
                       .values = {{"layers", "attention,mamba,lstm"},
                                  {"d-model", "64"},
                                  {"lr", "0.001"},
                                  {"seeds", "0"},
                                  {"train-examples", "10000"},
                                  {"test-examples", "500"},
                                  {"fresh-data", "true"},
                                  {"batch-size", "32"},
                                  {"epochs", "8"},
                                  {"schedule", "constant"},
                                  {"stop-accuracy", "none"},
                                  {"backbone", "mamba"},
                                  {"feed-forward", "none"},
                                  {"blocks", "2"},
                                  {"weight-decay", "0"}}}};
}

int run(std::span<const std::string> arguments) {
  const SweepCommand command = {
      .name = "longrange",
      .usage = "Train at one length and test at many: accuracy against the length of the sequence.",
      .presets = {defaults()},
      .own = {{"tasks", false, "tasks, each a sweep of its own (flip_flop,parity,s5)"},
              {"train-len", false, "length of the training sequences (256)"},
              {"test-len", false, "lengths of the tests: a list, or 2^6..2^14 for doublings (2^6..2^14)"}}};
  return run_sweep_command(command, arguments, plan);
}

const RegisterCommand command({.name = "longrange", .help = "train short, test long", .run = run});

}  // namespace
}  // namespace zoo
