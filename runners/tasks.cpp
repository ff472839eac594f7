#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/arguments.h"
#include "runners/command.h"
#include "zoo/core/error.h"
#include "zoo/core/options_describe.h"
#include "zoo/core/task.h"
#include "zoo/core/version.h"
#include "zoo/io/examples_file.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  std::string task;  // empty: all
  bool help = false;
  bool json = false;
  std::vector<std::string> assignments;
  std::optional<std::int64_t> sample;
  std::optional<std::string> export_path;
  Split split = Split::train;
  std::int64_t seed = 0;
  std::int64_t count = 1000;
};

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                              //
      ("json", po::bool_switch(), "print JSON")                                      //
      ("sample", po::value<std::string>(), "print the first N examples, annotated")  //
      ("export", po::value<std::string>(),
       "write examples to a safetensors file: tokens (or reals) and labels [N,T], "                      //
       "-100 where unlabelled, and slice.NAME [N]")                                                      //
      ("option", po::value<std::vector<std::string>>(), "an option of the task, k=v (may be repeated)")  //
      ("split", po::value<std::string>(), "train, validation or test (train)")                           //
      ("seed", po::value<std::string>(), "seed of the examples (0)")                                     //
      ("count", po::value<std::string>(), "number of examples to export (1000)")                         //
      ("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Lists the tasks, describes one with its options, and shows or exports its examples.\n\n"
          "Usage: zoo tasks [NAME] [OPTIONS]\n\n"
       << describe_options()
       << "\nFor example:\n"
          "  zoo tasks mqar --sample 3 --option seq_len=32 --option kv_pairs=2\n"
          "  zoo tasks mqar --export mqar.safetensors --split test --count 3000\n";
  return text.str();
}

Request parse(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo tasks", describe_options(), arguments, "task");
  const auto text = [&](const char* name) { return values[name].as<std::string>(); };
  Request request;
  request.help = values["help"].as<bool>();
  request.json = values["json"].as<bool>();
  if (values.contains("task")) {
    const auto names = values["task"].as<std::vector<std::string>>();
    if (names.size() > 1) throw UsageError("zoo tasks takes one task's name, but got {}", shell_command(names));
    request.task = names[0];
  }
  if (values.contains("option")) request.assignments = values["option"].as<std::vector<std::string>>();
  if (values.contains("sample")) request.sample = parse_integer("--sample", text("sample"), 1);
  if (values.contains("export")) request.export_path = text("export");
  if (values.contains("split")) request.split = parse_split(text("split"));
  if (values.contains("seed")) request.seed = parse_integer("--seed", text("seed"), 0);
  if (values.contains("count")) request.count = parse_integer("--count", text("count"), 1);

  // What would be without effect is a mistake, and better told than ignored.
  const bool makes_examples = request.sample || request.export_path;
  for (const char* name : {"option", "split", "seed", "sample", "export", "count"}) {
    if (!values.contains(name)) continue;
    if (request.task.empty()) throw UsageError("--{} needs a task: zoo tasks NAME --{} ...", name, name);
    if (!makes_examples) throw UsageError("--{} needs --sample N or --export FILE", name);
  }
  if (request.sample && request.export_path) throw UsageError("--sample and --export are two commands; give one");
  if (values.contains("count") && !request.export_path) throw UsageError("--count needs --export FILE");
  if (request.export_path && request.json) throw UsageError("--json is not for --export, which writes safetensors");
  return request;
}

nlohmann::json describe_as_json(const TaskEntry& entry) {
  return {{"name", entry.name},
          {"description", entry.description},
          {"paper", entry.paper},
          {"options", options_json(entry.options)}};
}

void describe(const TaskEntry& entry) {
  fmt::print("{}: {}\n", entry.name, entry.description);
  if (!entry.paper.empty()) fmt::print("Paper: {}\n", entry.paper);
  const std::string options = options_help(entry.options);
  fmt::print("\n{}{}", options.empty() ? "No options.\n" : "Options:\n", options);
  fmt::print("\nzoo tasks {} --sample 3 prints examples.\n", entry.name);
}

void list() {
  fmt::print("Tasks\n");
  for (const std::string& name : task_registry().names()) {
    fmt::print("  {:<20} {}\n", name, task_registry().get(name).description);
  }
  fmt::print("\nzoo tasks NAME describes one with its options.\n");
}

void print_samples(const Request& request, const Task& task) {
  check_example_count(task, request.split, static_cast<std::uint64_t>(*request.sample));
  nlohmann::json all = nlohmann::json::array();
  Example example;
  for (std::int64_t i = 0; i < *request.sample; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    task.generate(request.split, static_cast<std::uint64_t>(request.seed), index, example);
    if (request.json) {
      nlohmann::json sample = {{"index", index}, {"labels", example.labels}};
      if (!example.tokens.empty()) sample["tokens"] = example.tokens;
      if (!example.reals.empty()) sample["reals"] = example.reals;
      if (!example.targets.empty()) sample["targets"] = example.targets;
      if (!example.groups.empty()) sample["groups"] = example.groups;
      all.push_back(std::move(sample));
    } else {
      fmt::print("{}example {} of {}, seed {}: {}", i > 0 ? "\n" : "", index, split_name(request.split), request.seed,
                 task.describe(example));
    }
  }
  if (request.json) fmt::print("{}\n", all.dump());
}

void export_examples(const Request& request, const Task& task, const Options& options) {
  write_examples(*request.export_path, task, request.split, static_cast<std::uint64_t>(request.seed), request.count,
                 {{"generator", fmt::format("zoo {}", version)},
                  {"task", request.task},
                  {"options", options.json().dump()},
                  {"split", std::string(split_name(request.split))},
                  {"seed", std::to_string(request.seed)}});
  fmt::print("wrote {} examples of {}, {} split, seed {}, to {}\n", request.count, request.task,
             split_name(request.split), request.seed, *request.export_path);
}

int run(std::span<const std::string> arguments) {
  const Request request = parse(arguments);
  if (request.help) {
    fmt::print("{}", usage());
  } else if (request.task.empty() && request.json) {
    nlohmann::json all = nlohmann::json::array();
    for (const std::string& name : task_registry().names()) all.push_back(describe_as_json(task_registry().get(name)));
    fmt::print("{}\n", nlohmann::json{{"tasks", all}}.dump(2));
  } else if (request.task.empty()) {
    list();
  } else {
    const TaskEntry& entry = task_registry().get(request.task);
    if (!request.sample && !request.export_path) {
      if (request.json) {
        fmt::print("{}\n", describe_as_json(entry).dump(2));
      } else {
        describe(entry);
      }
      return 0;
    }
    const Options options(entry.options, parse_assignments(request.assignments), "task " + entry.name);
    const std::unique_ptr<Task> task = entry.make(options);
    if (request.sample) {
      print_samples(request, *task);
    } else {
      export_examples(request, *task, options);
    }
  }
  return 0;
}

const RegisterCommand command({.name = "tasks",
                               .help = "list and describe tasks, show and export their examples",
                               .run = run});

}  // namespace
}  // namespace zoo
