#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/bench.h"
#include "zoo/bench/median.h"
#include "zoo/bench/step.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/graph_scope.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/sweep/environment.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/settings.h"
#include "zoo/sweep/text.h"
#include "zoo/train/settings.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

// A setting of the run that is measured: its name here, the sweep's name for it, its default and its help.
struct StepSetting {
  std::string name;
  std::string sweep_name;
  std::string default_value;  // empty: none
  std::string help;
};

// The step of Zoology's figure 2 at its shortest length.
const std::vector<StepSetting>& step_settings() {
  static const std::vector<StepSetting> settings = {
      {"layer", "layers", "attention", "the layer, or a hybrid a+b"},
      {"option", "option", "", "an option of the layer, OPTION=VALUE (may be repeated)"},
      {"layer-option", "layer-option", "", "an option of a part of a hybrid, LAYER.OPTION=VALUE (may be repeated)"},
      {"d-model", "d-model", "64", "width"},
      {"seq-len", "seq-len", "64", "sequence length T"},
      {"kv-pairs", "kv-pairs", "4", "key-value pairs in a sequence"},
      {"vocab-size", "vocab-size", "8192", "tokens in the vocabulary"},
      {"batch-size", "batch-size", "512", "sequences in a step"},
      {"blocks", "blocks", "2", "blocks in the model"},
      {"feed-forward", "feed-forward", "none", "what follows the layer in a block"},
      {"feed-forward-option", "feed-forward-option", "", "an option of the feed-forward, OPTION=VALUE"},
      {"backbone", "backbone", "recall", "what surrounds the layers"},
      {"backbone-option", "backbone-option", "", "an option of the backbone, OPTION=VALUE"},
      {"task-option", "task-option", "", "an option of the task, mqar, OPTION=VALUE"},
      {"lr", "lr", "0.001", "learning rate"},
      {"seed", "seeds", "0", "of data and weights"},
      {"precision", "precision", "float32", "of products with --device gpu: float32, tf32 or bf16"},
  };
  return settings;
}

// What a sweep needs to know besides, and the layers' options as the paper's sweep has them.
const std::vector<std::pair<std::string, std::string>>& fixed_settings() {
  static const std::vector<std::pair<std::string, std::string>> settings = {
      {"task", "mqar"},
      {"train-examples", "100000"},
      {"test-examples", "1"},
      {"epochs", "64"},
      {"stop-accuracy", "none"},
      {"weight-decay", "0.1"},
      {"backbone-option", "embedding_dropout=0.1"},
      {"layer-option", "attention.positions=learned"},
      {"layer-option", "attention.bias=true"},
      {"layer-option", "attention.dropout=0.1"},
      {"layer-option", "nadaraya_watson.positions=learned"},
  };
  return settings;
}

struct Request {
  RunSpec spec;
  StepBenchmark benchmark;
  bool json = false;
};

po::options_description describe_options() {
  po::options_description options;
  for (const StepSetting& setting : step_settings()) {
    const std::string help =
        setting.default_value.empty() ? setting.help : fmt::format("{} ({})", setting.help, setting.default_value);
    options.add_options()(setting.name.c_str(), po::value<std::string>(), help.c_str());
  }
  options.add_options()                                                       //
      ("steps", po::value<std::string>(), "steps to time (20)")               //
      ("warmup", po::value<std::string>(), "steps before them (3)")           //
      ("profile", po::bool_switch(), "also tell where the time goes, by op")  //
      ("json", po::bool_switch(), "print one JSON object")                    //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text << "Time training steps of one setting, the making of their batches included.\n\n"
          "Usage: zoo bench step [OPTIONS] [--threads N]\n\n"
       << describe_options()
       << "\nBetween the steps large matrix products are timed with as many threads (2048 x 2048 x 2048 and\n"
          "8192 x 256 x 1024, the better median). The share of their rate counts useful work only: products that the\n"
          "definition needs, for labelled rows, without elementwise work.\n";
  return text.str();
}

po::parsed_options parse_arguments(std::span<const std::string> arguments) {
  const po::options_description options = describe_options();
  constexpr int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  try {
    const std::vector<std::string> words(arguments.begin(), arguments.end());
    return po::command_line_parser(words).options(options).positional({}).style(style).run();
  } catch (const po::unknown_option& error) {
    std::vector<std::string> names;
    for (const auto& option : options.options()) names.push_back(option->long_name());
    const std::string name = error.get_option_name();
    throw UsageError(
        unknown_name_message("option", name.substr(std::min(name.find_first_not_of('-'), name.size())), names));
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError("zoo bench step takes options only; see zoo bench step --help");
  } catch (const po::error& error) {
    throw UsageError("zoo bench step: {}", error.what());
  }
}

// The one run that these settings describe.
RunSpec plan_one_run(const SettingSource& given) {
  SettingSource defaults{.origin = "the defaults of zoo bench step", .values = fixed_settings()};
  for (const StepSetting& setting : step_settings()) {
    if (!setting.default_value.empty()) defaults.values.emplace_back(setting.sweep_name, setting.default_value);
  }
  const std::vector<RunSpec> runs = plan_runs(read_sweep_settings({defaults, given}));
  if (runs.size() != 1) {
    throw UsageError("zoo bench step measures one setting and was given {}; give one value for each option",
                     runs.size());
  }
  return runs.front();
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  Request request;
  SettingSource given{.origin = "the command line", .values = {}};
  std::set<std::string> seen;
  for (const auto& option : parse_arguments(arguments).options) {
    const std::string value = option.value.empty() ? "" : option.value.front();
    const bool first = seen.insert(option.string_key).second;
    const auto setting = std::ranges::find(step_settings(), option.string_key, &StepSetting::name);
    if (setting != step_settings().end()) {
      given.values.emplace_back(setting->sweep_name, value);
    } else if (!first) {
      throw UsageError("--{} is given twice; say it once", option.string_key);
    } else if (option.string_key == "steps") {
      request.benchmark.steps = parse_integer("--steps", value, 1);
    } else if (option.string_key == "warmup") {
      request.benchmark.warmup = parse_integer("--warmup", value, 0);
    } else if (option.string_key == "profile") {
      request.benchmark.profile = true;
    } else if (option.string_key == "json") {
      request.json = true;
    } else {
      return std::nullopt;
    }
  }
  request.spec = plan_one_run(given);
  return request;
}

nlohmann::json profile_as_json(const StepMeasurement& measured) {
  const double steps = static_cast<double>(measured.seconds.size());
  nlohmann::json all = nlohmann::json::array();
  for (const Profile::Entry& entry : measured.profile) {
    all.push_back({{"name", entry.name},
                   {"pass", entry.pass},
                   {"calls", static_cast<double>(entry.calls) / steps},
                   {"milliseconds", 1e3 * entry.seconds / steps},
                   {"gflops", entry.seconds > 0 ? 1e-9 * entry.flops / entry.seconds : 0}});
    if (!on_gpu()) continue;
    all.back()["kernels"] = static_cast<double>(entry.device.kernels) / steps;
    all.back()["host_accesses"] = static_cast<double>(entry.device.host_accesses) / steps;
  }
  return all;
}

nlohmann::json as_json(const StepMeasurement& measured, const RunSpec& spec) {
  const double seconds = measured.total_seconds();
  const double flops_per_second = measured.flops / seconds;
  nlohmann::json report = {
      {"sequences_per_second", measured.sequences / seconds},
      {"tokens_per_second", measured.tokens / seconds},
      {"gflops", 1e-9 * flops_per_second},
      {"sgemm_gflops", 1e-9 * measured.sgemm_flops},
      {"sgemm_share", flops_per_second / measured.sgemm_flops},
      {"step_milliseconds",
       {{"min", 1e3 * *std::ranges::min_element(measured.seconds)}, {"median", 1e3 * median(measured.seconds)}}},
      {"data_share", measured.data_seconds / seconds},
      {"gflop_per_step", 1e-9 * measured.flops / static_cast<double>(measured.seconds.size())},
      {"steps", measured.seconds.size()},
      {"parameters", measured.parameters},
      {"subject", spec.subject},
      {"axes", spec.axes},
      {"setting", spec.setting},
      {"environment", describe_environment(threads(), loaded_plugins(), "zoo bench step")}};
  if (graphs_on()) {
    const auto steps = static_cast<double>(measured.seconds.size());
    report["graphs"] = {{"launched_per_step", static_cast<double>(measured.graphs.launched) / steps},
                        {"built", measured.graphs.built},
                        {"work_per_step", static_cast<double>(measured.graphs.work) / steps}};
  }
  if (!measured.profile.empty()) report["profile"] = profile_as_json(measured);
  return report;
}

// Which ops gave the GPU nothing to do, and whose tensors the host read or wrote: it computed them.
void print_what_ran_on_the_cpu(const nlohmann::json& profile) {
  std::string names;
  for (const nlohmann::json& entry : profile) {
    if (entry.at("kernels").get<double>() > 0 || entry.at("host_accesses").get<double>() == 0) continue;
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", entry.at("name").get<std::string>(),
                         entry.at("pass").get<std::string>());
  }
  fmt::print("\ncomputed on the CPU, in the GPU's memory: {}\n", names.empty() ? "nothing" : names);
}

// How a step was cut into graphs, and what cut it: ops within which the host asked for a tensor's elements.
void print_graphs(const nlohmann::json& report) {
  const nlohmann::json& graphs = report.at("graphs");
  std::string names;
  for (const nlohmann::json& entry : report.at("profile")) {
    const double accesses = entry.at("host_accesses").get<double>();
    if (accesses == 0) continue;
    names += fmt::format("{}{} ({}) x {:.3g}", names.empty() ? "" : ", ", entry.at("name").get<std::string>(),
                         entry.at("pass").get<std::string>(), accesses);
  }
  fmt::print("graphs: {:.3g} a step with {:.4g} kernels, copies and fills; {} of them in all were built anew\n",
             graphs.at("launched_per_step").get<double>(), graphs.at("work_per_step").get<double>(),
             graphs.at("built").get<std::uint64_t>());
  fmt::print("the host looked at tensors, which ends a graph, in: {}\n", names.empty() ? "nothing" : names);
}

void print_profile(const StepMeasurement& measured, const nlohmann::json& profile) {
  const double step = 1e3 * measured.total_seconds() / static_cast<double>(measured.seconds.size());
  fmt::print("\n{:<28} {:<9} {:>10} {:>10} {:>7} {:>9}\n", "op", "pass", "calls/step", "ms/step", "share", "GFLOP/s");
  for (const nlohmann::json& entry : profile) {
    const double milliseconds = entry.at("milliseconds").get<double>();
    fmt::print("{:<28} {:<9} {:>10.4g} {:>10.3f} {:>6.1f}% {:>9.1f}\n", entry.at("name").get<std::string>(),
               entry.at("pass").get<std::string>(), entry.at("calls").get<double>(), milliseconds,
               100 * milliseconds / step, entry.at("gflops").get<double>());
  }
  if (on_gpu()) print_what_ran_on_the_cpu(profile);
}

void print(const StepMeasurement& measured, const RunSpec& spec) {
  const nlohmann::json report = as_json(measured, spec);
  const auto number = [&](const char* name) { return report.at(name).get<double>(); };
  fmt::print("{}, batch {}, {} blocks, {} parameters; {} threads, {}\n\n", describe_run(spec),
             spec.axes.at("cell").at("batch_size").get<std::int64_t>(), spec.setting.at("blocks").get<std::int64_t>(),
             measured.parameters, threads(), report.at("environment").at("instruction_set").get<std::string>());
  fmt::print("sequences/s       {:>12.1f}\n", number("sequences_per_second"));
  fmt::print("tokens/s          {:>12.0f}\n", number("tokens_per_second"));
  fmt::print("step              {:>12.2f} ms median, {:.2f} ms least, of {} steps; {:.1f}% of it makes the batch\n",
             report.at("step_milliseconds").at("median").get<double>(),
             report.at("step_milliseconds").at("min").get<double>(), measured.seconds.size(),
             100 * number("data_share"));
  fmt::print("useful work       {:>12.1f} GFLOP/s ({:.3f} GFLOP a step)\n", number("gflops"), number("gflop_per_step"));
  fmt::print("large products    {:>12.1f} GFLOP/s\n", number("sgemm_gflops"));
  fmt::print("share of them     {:>12.2f}\n", number("sgemm_share"));
  if (!report.contains("profile")) return;
  print_profile(measured, report.at("profile"));
  if (report.contains("graphs")) print_graphs(report);
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print("{}", help());
    return 0;
  }
  const StepMeasurement measured = measure_steps(read_settings(request->spec), request->benchmark);
  if (request->json) {
    fmt::print("{}\n", as_json(measured, request->spec).dump(2));
  } else {
    print(measured, request->spec);
  }
  return 0;
}

const RegisterBenchmark benchmark({.name = "step", .help = "training steps of given settings", .run = run});

}  // namespace
}  // namespace zoo
