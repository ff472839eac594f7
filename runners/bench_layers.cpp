#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/arguments.h"
#include "runners/bench.h"
#include "zoo/bench/layer_report.h"
#include "zoo/bench/roofline.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/core/precision.h"
#include "zoo/io/atomic_file.h"
#include "zoo/report/format.h"
#include "zoo/sweep/environment.h"
#include "zoo/sweep/settings.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  std::vector<std::string> layers;
  std::map<std::string, nlohmann::json> layer_options;
  LayerBenchmark benchmark;
  bool model_only = false;
  bool json = false;
  std::optional<std::filesystem::path> out;
};

po::options_description named_options() {
  po::options_description options;
  const auto text = [] { return po::value<std::string>(); };
  const auto texts = [] { return po::value<std::vector<std::string>>()->composing(); };
  options.add_options()                                                                                      //
      ("layers", text(), "layers and feed-forwards to measure, a,b,c (every layer)")                         //
      ("layer-option", texts(), "an option of a layer, LAYER.OPTION=VALUE (may be repeated)")                //
      ("option", texts(), "the same where there is one layer, OPTION=VALUE (may be repeated)")               //
      ("seq-len", text(), "sequence lengths T (256,1024,4096)")                                              //
      ("d-model", text(), "width (256)")                                                                     //
      ("batch-size", text(), "sequences in a batch (4)")                                                     //
      ("positions", text(), "where decoding is timed (100, and 100000 for layers whose state is constant)")  //
      ("seconds", text(), "least time for each quantity (0.5); each is done three times at least")           //
      ("precision", text(), "of products with --device gpu: float32, tf32 or bf16 (float32)")                //
      ("model-only", po::bool_switch(),
       "FLOPs and bytes of each op, and the time that a H100 and an A100 "
       "need for them at least; with --device gpu also for what zoo's kernels move through shared memory; nothing is "
       "timed")                                                               //
      ("json", po::bool_switch(), "print one JSON object")                    //
      ("out", text(), "folder for layers.html, with plots, and layers.json")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text
      << "Time layers alone: forward, forward + backward, prefill and decoding, with memory, state and FLOPs.\n\n"
         "Usage: zoo bench layers [OPTIONS] [--threads N]\n\n"
      << named_options()
      << "\nTimes are medians. Peak memory is what forward + backward takes beyond the input, the output's gradient "
         "and\n"
         "the parameters. FLOPs count products that the definition needs, no elementwise work; the share is theirs of\n"
         "what large matrix products reach, which are timed in between.\n";
  return text.str();
}

std::vector<std::int64_t> lengths(const po::variables_map& values, const char* name, std::int64_t minimum) {
  std::vector<std::int64_t> all = parse_integers(fmt::format("--{}", name), values[name].as<std::string>(), minimum);
  constexpr std::int64_t most = 1 << 30;
  for (const std::int64_t one : all) {
    if (one > most) throw UsageError("--{} is {}; it must be at most {}", name, one, most);
  }
  return all;
}

std::int64_t size(const po::variables_map& values, const char* name) {
  const std::int64_t number = parse_integer(fmt::format("--{}", name), values[name].as<std::string>(), 1);
  constexpr std::int64_t most = 1 << 20;
  if (number > most) throw UsageError("--{} is {}; it must be at most {}", name, number, most);
  return number;
}

void refuse_absurd(const LayerBenchmark& benchmark) {
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  const double needed = least_bytes(benchmark);
  if (needed > memory) {
    throw UsageError(
        "input, output and their gradients alone take {} at --batch-size {}, --seq-len {}, --d-model {}, and this "
        "machine has {}; give smaller ones",
        report::format_bytes(needed), benchmark.batch_size, std::ranges::max(benchmark.seq_len), benchmark.d_model,
        report::format_bytes(memory));
  }
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo bench layers", named_options(), arguments);
  if (values["help"].as<bool>()) return std::nullopt;
  Request request;
  request.layers =
      values.contains("layers") ? split_list("--layers", values["layers"].as<std::string>()) : layer_registry().names();
  SettingSource given{.origin = "the command line", .values = {}};
  for (const char* name : {"option", "layer-option"}) {
    if (!values.contains(name)) continue;
    for (const std::string& value : values[name].as<std::vector<std::string>>()) given.values.emplace_back(name, value);
  }
  request.layer_options = read_layer_options(request.layers, given);
  LayerBenchmark& benchmark = request.benchmark;
  if (values.contains("seq-len")) benchmark.seq_len = lengths(values, "seq-len", 1);
  if (values.contains("positions")) benchmark.positions = lengths(values, "positions", 0);
  if (values.contains("d-model")) benchmark.d_model = size(values, "d-model");
  if (values.contains("batch-size")) benchmark.batch_size = size(values, "batch-size");
  if (values.contains("seconds")) {
    benchmark.seconds = parse_real("--seconds", values["seconds"].as<std::string>());
    if (benchmark.seconds < 0) throw UsageError("--seconds is {}; it must not be negative", benchmark.seconds);
  }
  refuse_absurd(benchmark);
  request.model_only = values["model-only"].as<bool>();
  for (const char* name : {"positions", "seconds", "precision", "out"}) {
    if (request.model_only && values.contains(name)) {
      throw UsageError("--model-only times nothing and writes no page; leave out --{}", name);
    }
  }
  if (values.contains("precision")) {
    benchmark.precision = read_precision("--precision", values["precision"].as<std::string>());
  }
  request.json = values["json"].as<bool>();
  if (values.contains("out")) {
    request.out = values["out"].as<std::string>();
    if (request.out->empty()) throw UsageError("--out is empty; give a folder");
  }
  return request;
}

nlohmann::json options_of(const Request& request, const std::string& layer) {
  const auto at = request.layer_options.find(layer);
  return at == request.layer_options.end() ? nlohmann::json::object() : at->second;
}

// Where a layer cannot be built, nothing is measured.
void try_all(const Request& request) {
  for (const std::string& name : request.layers) {
    make_single_layer(find_layer_entry(name), request.benchmark.d_model, options_of(request, name));
  }
}

LayerReport measure(const Request& request) {
  LayerReport report{.benchmark = request.benchmark, .environment = {}, .layers = {}};
  SgemmRate sgemm;
  for (std::size_t i = 0; i < request.layers.size(); ++i) {
    const std::string& name = request.layers[i];
    const auto note = [&](const std::string& words) {
      fmt::print(stderr, "[{}/{}] {}, {}\n", i + 1, request.layers.size(), name, words);
    };
    const LayerMeter meter(find_layer_entry(name), options_of(request, name), request.benchmark);
    LayerFigures& figures =
        report.layers.emplace_back(LayerFigures{.name = name,
                                                .options = meter.single().options.json(),
                                                .parameters = count_values(meter.single().parameters),
                                                .speeds = {},
                                                .decoding = {}});
    for (const std::int64_t length : request.benchmark.seq_len) {
      const LayerSpeed& speed = figures.speeds.emplace_back(meter.measure(length, sgemm));
      note(fmt::format("T {}: forward {:.4g} ms, with backward {:.4g} ms", length, 1e3 * speed.forward.median,
                       1e3 * speed.step.median));
    }
    for (const std::int64_t position : meter.positions()) {
      const DecodeSpeed& speed = figures.decoding.emplace_back(meter.measure_decoding(position));
      note(fmt::format("a token at {}: {:.4g} us", position, 1e6 * speed.token.median));
    }
  }
  constexpr int least_samples = 5;
  for (int i = 0; i < least_samples; ++i) sgemm.sample();
  report.sgemm_flops = sgemm.flops_per_second();
  return report;
}

// What is counted does not depend on the device, and the CPU is the quickest here; `shared_traffic`: of GPUs' kernels.
int print_model(const Request& request, bool shared_traffic) {
  std::vector<LayerRoofline> layers;
  for (const std::string& name : request.layers) {
    const LayerMeter meter(find_layer_entry(name), options_of(request, name), request.benchmark);
    for (const std::int64_t length : request.benchmark.seq_len) {
      layers.push_back(make_roofline(name, length, meter.profile_step(length, shared_traffic), shared_traffic));
    }
  }
  fmt::print("{}", request.json ? as_json(layers).dump(2) + "\n" : as_text(layers));
  return 0;
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print("{}", help());
    return 0;
  }
  const bool on_gpu = current_device() == Device::gpu;
  if (request->model_only) set_device(Device::cpu);
  const WithPrecision precision(request->benchmark.precision);
  try_all(*request);
  if (request->model_only) return print_model(*request, on_gpu);
  if (request->out) {
    std::error_code error;
    std::filesystem::create_directories(*request->out, error);
    if (error) throw Error("cannot make the folder '{}': {}", request->out->string(), error.message());
  }
  LayerReport report = measure(*request);
  std::vector<std::string> words = {"zoo", "bench", "layers"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  report.environment = describe_environment(threads(), loaded_plugins(), shell_command(words));
  const nlohmann::json json = as_json(report);
  fmt::print("{}", request->json ? json.dump(2) + "\n" : as_text(report));
  if (request->out) {
    write_file_atomically(*request->out / "layers.json", json.dump(2) + "\n");
    write_file_atomically(*request->out / "layers.html", as_html(report));
    fmt::print(stderr, "wrote {} and layers.json\n", (*request->out / "layers.html").string());
  }
  return 0;
}

const RegisterBenchmark benchmark({.name = "layers",
                                   .help = "layers alone: training, prefill, decoding, memory",
                                   .run = run});

}  // namespace
}  // namespace zoo
