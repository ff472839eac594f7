#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "runners/arguments.h"
#include "runners/command.h"
#include "zoo/check/conformance.h"
#include "zoo/core/error.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

/// What `zoo check` was asked.
struct Request {
  std::string layer;
  bool json = false;
  CheckOptions options;
};

po::options_description named_options() {
  po::options_description options;
  options.add_options()                                                                                   //
      ("case", po::value<std::string>(), "only this one of the layer's test cases, numbered from 1")      //
      ("check", po::value<std::vector<std::string>>()->composing(), "only this check (may be repeated)")  //
      ("seed", po::value<std::string>(), "of the random inputs, parameters and directions (0)")           //
      ("json", po::bool_switch(), "everything as one JSON object")                                        //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text << "Ask a layer or feed-forward what every one must satisfy; your own with --plugin.\n\n"
          "Usage: zoo check LAYER|all [OPTIONS]\n\n"
       << named_options() << "\nChecks:\n";
  for (const CheckDescription& check : conformance_checks()) {
    text << fmt::format("  {:<13} {}?\n", check.name, check.question);
  }
  text << "\nExit code: 0 all passed, 1 a check failed, 2 wrong usage.\n";
  return text.str();
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo check", named_options(), arguments, "layer");
  if (values["help"].as<bool>()) return std::nullopt;
  if (values.count("layer") == 0) throw UsageError("zoo check needs a layer's name, or all\n\n{}", help());
  const auto layers = values["layer"].as<std::vector<std::string>>();
  if (layers.size() != 1) {
    throw UsageError("zoo check takes one layer, or all; it was given {}", fmt::join(layers, " "));
  }

  Request request{.layer = layers[0], .json = values["json"].as<bool>(), .options = {}};
  if (values.count("case") != 0) {
    if (request.layer == "all") throw UsageError("--case is a number within one layer's cases; name the layer");
    request.options.only_case = static_cast<std::size_t>(parse_integer("--case", values["case"].as<std::string>(), 1));
  }
  if (values.count("seed") != 0) {
    request.options.seed = static_cast<std::uint64_t>(parse_integer("--seed", values["seed"].as<std::string>(), 0));
  }
  if (values.count("check") != 0) request.options.only_checks = values["check"].as<std::vector<std::string>>();
  return request;
}

/// The entries that a name stands for.
std::vector<const LayerEntry*> select(const std::string& name) {
  std::vector<const LayerEntry*> entries;
  std::vector<std::string> names = {"all"};
  for (const Registry<LayerEntry>* registry : {&layer_registry(), &feed_forward_registry()}) {
    for (const std::string& known : registry->names()) {
      names.push_back(known);
      if (name == "all" || name == known) entries.push_back(&registry->get(known));
    }
  }
  if (entries.empty()) throw UsageError(unknown_name_message("layer", name, names));
  return entries;
}

std::string repeat_command(const LayerEntry& entry, const Finding& finding) {
  std::vector<std::string> words = {"zoo", "check", entry.name};
  for (const std::string& plugin : loaded_plugins()) words.insert(words.end(), {"--plugin", plugin});
  words.insert(words.end(), {"--check", finding.check, "--case", std::to_string(finding.case_number), "--seed",
                             std::to_string(finding.seed)});
  return shell_command(words);
}

double ratio(const Finding& finding) {
  if (finding.bound > 0) return finding.measured / finding.bound;
  return finding.measured > 0 ? INFINITY : 0;
}

/// Whether `one` says more about a layer than `other`: a failure before a pass, a pass before what was skipped.
bool is_worse(const Finding& one, const Finding& other) {
  const auto rank = [](const Finding& finding) {
    return finding.outcome == Outcome::failed ? 2 : finding.outcome == Outcome::passed ? 1 : 0;
  };
  if (rank(one) != rank(other)) return rank(one) > rank(other);
  return ratio(one) > ratio(other);
}

std::string number(double value) {
  return std::isnan(value) ? "" : fmt::format("{:.1e}", value);
}

std::string first_line(const std::string& text) {
  constexpr std::size_t width = 72;
  const std::string line = text.substr(0, text.find('\n'));
  return line.size() <= width ? line : line.substr(0, width - 3) + "...";
}

std::string describe_case(const Finding& finding) {
  return fmt::format("case {} (d_model {}, options {})", finding.case_number, finding.layer_case.d_model,
                     finding.layer_case.options.dump());
}

/// Prints a row for each check, its worst case, as soon as its last case is done.
class Table {
 public:
  void add(const Finding& finding) {
    if (worst_ && worst_->check == finding.check) {
      if (is_worse(finding, *worst_)) worst_ = finding;
      return;
    }
    finish_row();
    worst_ = finding;
  }

  void finish_row() {
    if (!worst_) return;
    if (std::exchange(empty_, false)) {
      fmt::print("\n{:<13} {:<8} {:>4} {:>9} {:>9}  {}\n", "check", "result", "case", "measured", "bound",
                 "in the worst case");
    }
    fmt::print("{:<13} {:<8} {:>4} {:>9} {:>9}  {}\n", worst_->check, outcome_name(worst_->outcome),
               worst_->case_number, number(worst_->measured), number(worst_->bound), first_line(worst_->message));
    std::fflush(stdout);
    worst_.reset();
  }

 private:
  std::optional<Finding> worst_;
  bool empty_ = true;
};

/// The failures in full, and the counts.
void print_summary(const LayerEntry& entry, const std::vector<Finding>& findings) {
  double seconds = 0;
  std::map<Outcome, int> counts;
  for (const Finding& finding : findings) {
    seconds += finding.seconds;
    ++counts[finding.outcome];
    if (finding.outcome != Outcome::failed) continue;
    fmt::print("\nFAILED {} in {}:\n{}\nAgain: {}\n", finding.check, describe_case(finding), finding.message,
               repeat_command(entry, finding));
  }
  fmt::print("\n{}: {} passed, {} failed, {} skipped in {:.1f} s\n\n", entry.name, counts[Outcome::passed],
             counts[Outcome::failed], counts[Outcome::skipped], seconds);
}

nlohmann::json number_or_null(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

nlohmann::json as_json(const LayerEntry& entry, const Finding& finding) {
  return {{"case", finding.case_number},
          {"d_model", finding.layer_case.d_model},
          {"options", finding.layer_case.options},
          {"check", finding.check},
          {"result", outcome_name(finding.outcome)},
          {"measured", number_or_null(finding.measured)},
          {"bound", number_or_null(finding.bound)},
          {"message", finding.message},
          {"seconds", finding.seconds},
          {"seed", finding.seed},
          {"again", repeat_command(entry, finding)}};
}

bool has_failed(const std::vector<Finding>& findings) {
  return std::ranges::any_of(findings, [](const Finding& finding) { return finding.outcome == Outcome::failed; });
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print("{}", help());
    return 0;
  }
  bool failed = false;
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerEntry* entry : select(request->layer)) {
    Table table;
    CheckOptions options = request->options;
    if (!request->json) {
      fmt::print("{}: {}\n", entry->name, entry->description);
      options.on_finding = [&](const Finding& finding) { table.add(finding); };
    }
    const std::vector<Finding> findings = check_layer(*entry, options);
    failed |= has_failed(findings);
    if (!request->json) {
      table.finish_row();
      print_summary(*entry, findings);
      continue;
    }
    nlohmann::json rows = nlohmann::json::array();
    for (const Finding& finding : findings) rows.push_back(as_json(*entry, finding));
    layers.push_back({{"name", entry->name}, {"passed", !has_failed(findings)}, {"findings", std::move(rows)}});
  }
  if (request->json) {
    fmt::print("{}\n",
               nlohmann::json{{"passed", !failed}, {"seed", request->options.seed}, {"layers", layers}}.dump(2));
  }
  return failed ? 1 : 0;
}

// The sizes are too small for two threads, which would wait for each other thousands of times on a busy machine.
const RegisterCommand command(
    {.name = "check", .help = "ask a layer what every layer must satisfy", .run = run, .threads = 1});

}  // namespace
}  // namespace zoo
