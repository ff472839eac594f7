#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/bench.h"
#include "runners/lm/options.h"
#include "zoo/bench/lm.h"
#include "zoo/bench/median.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/report/format.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  RunSpec spec;
  LmExecution execution;
  LmBenchmark benchmark;
};

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                                                  //
      ("layer", po::value<std::string>(), "the layer, or a hybrid a+b (attention)")                      //
      ("vocab-size", po::value<std::string>(), "tokens in the vocabulary (50257)")                       //
      ("timed-steps", po::value<std::string>(), "optimizer steps to time, 0: none (3)")                  //
      ("prompt", po::value<std::string>(), "tokens read before generation (16)")                         //
      ("generate", po::value<std::string>(), "tokens to generate and time, one sequence; 0: none (64)")  //
      ("profile", po::bool_switch(),
       "also tell where the time goes, by op; with --timed-steps 0 that of generation")  //
      ("json", po::bool_switch(), "print one JSON object");
  options.add(lm_choice_options()).add(lm_run_options());
  options.add_options()("help", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Time the training of a language model on random tokens, and its generation of text.\n\n"
          "Usage: zoo bench lm [OPTIONS] [--threads N]\n\n"
       << describe_options()
       << "\nFor example, GPT-2's size:\n"
          "  zoo bench lm --preset 125m --context 1024 --batch-tokens 4096 --micro-batch 4\n";
  return text.str();
}

Request parse(const po::variables_map& values) {
  const auto integer = [&](const char* name, std::int64_t otherwise, std::int64_t minimum) {
    return values.contains(name) ? parse_integer(std::string("--") + name, values[name].as<std::string>(), minimum)
                                 : otherwise;
  };
  const std::string layer = values.contains("layer") ? values["layer"].as<std::string>() : "attention";
  if (values.contains("corpus")) throw UsageError("zoo bench lm makes its tokens itself; it takes no --corpus");
  Request request;
  request.spec = plan_lm(layer, read_lm_choices(values, {layer}),
                         {.hash = "", .tokenizer = "random", .vocab_size = integer("vocab-size", 50257, 2)});
  const LmSettings settings = read_lm_settings(request.spec);
  const LmRunRequest run = read_lm_run_options(values);
  request.execution = {
      .micro_batch = std::min(run.micro_batch.value_or(default_micro_batch(settings)), settings.batch_sequences),
      .recompute = run.recompute};
  request.benchmark = {.steps = integer("timed-steps", 3, 0),
                       .prompt = integer("prompt", 16, 1),
                       .generate = integer("generate", 64, 0),
                       .profile = values["profile"].as<bool>()};
  return request;
}

nlohmann::json as_json(const LmMeasurement& measured, const LmSettings& settings) {
  nlohmann::json report = {{"parameters", measured.parameters}, {"threads", threads()}};
  if (!measured.step_seconds.empty()) {
    const double seconds = median(measured.step_seconds);
    const double flops = measured.flops / static_cast<double>(measured.step_seconds.size());
    report["step_seconds"] = seconds;
    report["tokens_per_second"] = static_cast<double>(settings.batch_sequences * settings.context) / seconds;
    report["gflops"] = 1e-9 * flops / seconds;
    report["sgemm_gflops"] = 1e-9 * measured.sgemm_flops;
    report["sgemm_share"] = flops / seconds / measured.sgemm_flops;
    report["peak_bytes"] = measured.peak_bytes;
  }
  if (!measured.token_seconds.empty()) {
    const double seconds = median(measured.token_seconds);
    report["generated_tokens_per_second"] = 1 / seconds;
    report["bytes_per_token"] = measured.bytes_per_token;
    report["read_gbytes_per_second"] = 1e-9 * measured.read_bytes_per_second;
    report["read_share"] = measured.bytes_per_token / seconds / measured.read_bytes_per_second;
  }
  return report;
}

void print(const LmMeasurement& measured, const nlohmann::json& report) {
  const auto number = [&](const char* name) { return report.at(name).get<double>(); };
  fmt::print("parameters        {:>12}\n", report::format_count(static_cast<double>(measured.parameters)));
  if (report.contains("step_seconds")) {
    fmt::print("training          {:>12.1f} tokens/s, {:.3f} s a step\n", number("tokens_per_second"),
               number("step_seconds"));
    fmt::print("useful work       {:>12.1f} GFLOP/s\n", number("gflops"));
    fmt::print("large products    {:>12.1f} GFLOP/s\n", number("sgemm_gflops"));
    fmt::print("share of them     {:>12.2f}\n", number("sgemm_share"));
    fmt::print("memory            {:>12}\n", report::format_bytes(static_cast<double>(measured.peak_bytes)));
  }
  if (report.contains("read_share")) {
    fmt::print("generation        {:>12.1f} tokens/s\n", number("generated_tokens_per_second"));
    fmt::print("a token reads     {:>12}\n", report::format_bytes(measured.bytes_per_token));
    fmt::print("memory is read at {:>12.1f} GB/s\n", number("read_gbytes_per_second"));
    fmt::print("share of it       {:>12.2f}\n", number("read_share"));
  }
  if (measured.profile.empty()) return;
  const auto& samples = measured.step_seconds.empty() ? measured.token_seconds : measured.step_seconds;
  const double steps = static_cast<double>(samples.size());
  const double total = std::accumulate(samples.begin(), samples.end(), 0.0);
  const char* unit = measured.step_seconds.empty() ? "token" : "step";
  fmt::print("\n{:<28} {:<9} {:>10} {:>10} {:>7} {:>9}\n", "op", "pass", fmt::format("calls/{}", unit),
             fmt::format("ms/{}", unit), "share", "GFLOP/s");
  for (const Profile::Entry& entry : measured.profile) {
    fmt::print("{:<28} {:<9} {:>10.4g} {:>10.2f} {:>6.1f}% {:>9.1f}\n", entry.name, entry.pass,
               static_cast<double>(entry.calls) / steps, 1e3 * entry.seconds / steps, 100 * entry.seconds / total,
               entry.seconds > 0 ? 1e-9 * entry.flops / entry.seconds : 0);
  }
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo bench lm", describe_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  const Request request = parse(values);
  const LmSettings settings = read_lm_settings(request.spec);
  const WithPrecision precision(settings.precision);
  const LmMeasurement measured = measure_lm(settings, request.execution, request.benchmark);
  const nlohmann::json report = as_json(measured, settings);
  if (values["json"].as<bool>()) {
    fmt::print("{}\n", report.dump(2));
  } else {
    print(measured, report);
  }
  return 0;
}

const RegisterBenchmark benchmark({.name = "lm", .help = "language models: training and generation", .run = run});

}  // namespace
}  // namespace zoo
