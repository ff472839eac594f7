#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/arguments.h"
#include "runners/command.h"
#include "runners/tensor_arguments.h"
#include "zoo/core/error.h"
#include "zoo/core/version.h"
#include "zoo/io/tensor_file.h"
#include "zoo/nn/single_layer.h"
#include "zoo/sweep/settings.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

/// What `zoo forward` was asked.
struct Request {
  const LayerEntry* entry = nullptr;
  nlohmann::json options = nlohmann::json::object();
  std::string weights;
  std::string input;
  std::string output;
  bool gradients = false;
  std::vector<std::int64_t> chunks;  // empty: the whole in one
  DType dtype = DType::f32;
  std::optional<std::int64_t> max_length;
};

po::options_description named_options() {
  po::options_description options;
  const auto text = [] { return po::value<std::string>(); };
  const auto texts = [] { return po::value<std::vector<std::string>>()->composing(); };
  options.add_options()                                                                                         //
      ("layer", text(), "the layer or feed-forward")                                                            //
      ("option", texts(), "an option of it, OPTION=VALUE (may be repeated)")                                    //
      ("layer-option", texts(), "the same as LAYER.OPTION=VALUE")                                               //
      ("weights", text(), "safetensors file with its parameters")                                               //
      ("input", text(), "safetensors file with x [B,T,d_model], and with --grad dy, the gradient of y")         //
      ("output", text(), "safetensors file to write: y, and with --grad dx and grad.PARAMETER")                 //
      ("grad", po::bool_switch(), "also gradients of sum(y * dy), of x and of every parameter")                 //
      ("chunks", text(), "lengths of the chunks in which the sequence is given, a,b,c; their sum is T (all)")   //
      ("dtype", text(), "precision of the computation, f32 or f64 (f32)")                                       //
      ("max-length", text(), "the longest sequence the layer is meant for; implicit filters depend on it (T)")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text << "Put given numbers through a layer with given weights, to compare it with another implementation.\n\n"
          "Usage: zoo forward --layer NAME --weights FILE --input FILE --output FILE [OPTIONS]\n\n"
       << named_options()
       << "\nParameters have the names of the public reference checkpoints, without a prefix; `zoo forward` with an\n"
          "empty weights file lists them with their shapes. F32, F64, F16 and BF16 are read and converted; what is\n"
          "written has the precision of the computation. Training counts as over, and dropout is off. Gradients go\n"
          "through the states between chunks.\n\n"
          "Exit code: 0 done, 1 the output cannot be written, 2 wrong usage or tensors, all of them listed.\n";
  return text.str();
}

// The layer's options, from --option and --layer-option.
nlohmann::json read_options(const po::variables_map& values, const std::string& layer) {
  SettingSource given{.origin = "the command line", .values = {}};
  for (const char* name : {"option", "layer-option"}) {
    if (!values.contains(name)) continue;
    for (const std::string& value : values[name].as<std::vector<std::string>>()) given.values.emplace_back(name, value);
  }
  auto options = read_layer_options({layer}, given);
  return options.contains(layer) ? options.at(layer) : nlohmann::json::object();
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo forward", named_options(), arguments);
  if (values["help"].as<bool>()) return std::nullopt;
  const auto text = [&](const char* name) {
    if (!values.contains(name) || values[name].as<std::string>().empty()) {
      throw UsageError("zoo forward: --{} is missing; it needs --layer, --weights, --input and --output", name);
    }
    return values[name].as<std::string>();
  };
  const std::string layer = text("layer");
  Request request;
  request.entry = &find_layer_entry(layer);
  request.options = read_options(values, layer);
  request.weights = text("weights");
  request.input = text("input");
  request.output = text("output");
  request.gradients = values["grad"].as<bool>();
  request.chunks = read_chunks(values);
  request.dtype = read_dtype(values);
  if (values.contains("max-length")) request.max_length = parse_integer("--max-length", text("max-length"), 1);
  return request;
}

/// What is wrong with tensors, gathered so that one message tells all of it.
class Problems {
 public:
  template <typename... Args>
  void add(const SafetensorsFile& file, fmt::format_string<Args...> format, Args&&... args) {
    lines_.push_back(fmt::format("  {}: {}", file.path().string(), fmt::format(format, std::forward<Args>(args)...)));
  }
  bool empty() const { return lines_.empty(); }
  /// Throws UsageError unless there are none.
  void require_none(const std::string& what) const {
    if (!lines_.empty()) throw UsageError("{}:\n{}", what, fmt::join(lines_, "\n"));
  }

 private:
  std::vector<std::string> lines_;
};

std::string extents(const SafetensorsInfo& info) {
  return fmt::format("[{}]", fmt::join(info.shape, ", "));
}

// Whether the file has this tensor with real values; adds a problem where not.
const SafetensorsInfo* find_real(const SafetensorsFile& file, const std::string& name, const std::string& expected,
                                 Problems& problems) {
  if (!file.has(name)) {
    problems.add(file, "there is no tensor '{}'; expected {}", name, expected);
    return nullptr;
  }
  const SafetensorsInfo& info = file.info(name);
  constexpr std::array real = {"F32", "F64", "F16", "BF16"};
  if (std::ranges::find(real, info.dtype) == real.end()) {
    problems.add(file, "tensor '{}' has dtype {}; expected F32, F64, F16 or BF16", name, info.dtype);
  }
  return &info;
}

void refuse_unknown(const SafetensorsFile& file, const std::vector<std::string>& known, Problems& problems) {
  for (const SafetensorsInfo& info : file.tensors()) {
    if (std::ranges::find(known, info.name) != known.end()) continue;
    const std::string nearest = nearest_name(info.name, known);
    problems.add(file, "unknown tensor '{}' {}{}", info.name, extents(info),
                 nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  }
}

// Checks x and dy; whether d_model could be told.
bool check_input(const Request& request, const SafetensorsFile& input, Problems& problems) {
  const SafetensorsInfo* x = find_real(input, "x", "[B, T, d_model]", problems);
  const bool is_sequence = x != nullptr && x->shape.size() == 3 && std::ranges::min(x->shape) > 0;
  if (x != nullptr && !is_sequence) {
    problems.add(input, "tensor 'x' is {}; expected [B, T, d_model], none of them 0", extents(*x));
  }
  if (request.gradients) {
    const SafetensorsInfo* dy = find_real(input, "dy", "the shape of x", problems);
    if (dy != nullptr && x != nullptr && dy->shape != x->shape) {
      problems.add(input, "tensor 'dy' is {}; expected the shape of x, {}", extents(*dy), extents(*x));
    }
  }
  refuse_unknown(input, {"x", "dy"}, problems);
  return is_sequence;
}

void check_weights(const SingleLayer& single, const SafetensorsFile& weights, Problems& problems) {
  std::vector<std::string> known;
  for (const Parameter& parameter : single.parameters) {
    const ParameterSpec& spec = parameter.spec();
    known.push_back(spec.name);
    const SafetensorsInfo* info = find_real(weights, spec.name, spec.shape.str(), problems);
    if (info != nullptr && !std::ranges::equal(info->shape, spec.shape.dims())) {
      problems.add(weights, "tensor '{}' is {}; expected {}", spec.name, extents(*info), spec.shape.str());
    }
  }
  refuse_unknown(weights, known, problems);
}

void write_result(SafetensorsWriter& file, const LayerResult& result) {
  const auto write = [&](const Tensor& tensor) {
    file.write({static_cast<const std::byte*>(tensor.raw()), tensor.bytes()});
  };
  write(result.y);
  if (result.dx.defined()) write(result.dx);
  for (const Tensor& grad : result.parameter_grads) write(grad);
  file.commit();
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print("{}", help());
    return 0;
  }
  const SafetensorsFile input(request->input);
  const SafetensorsFile weights(request->weights);
  Problems problems;
  if (!check_input(*request, input, problems)) {
    problems.require_none(
        "zoo forward cannot use the input (the weights were not looked at, since d_model comes from x)");
  }
  const std::vector<std::int64_t>& shape = input.info("x").shape;
  const std::int64_t T = shape[1], d_model = shape[2];
  const std::vector<std::int64_t> chunks = chunks_of(request->chunks, T, "x");
  if (request->max_length.value_or(T) < T) {
    throw UsageError("--max-length is {}, but x has {} positions; give at least as many", *request->max_length, T);
  }
  const SingleLayer single =
      make_single_layer(*request->entry, d_model, request->options, request->max_length.value_or(T));
  check_weights(single, weights, problems);
  problems.require_none(fmt::format("the tensors do not fit layer {} with d_model {} and options {}",
                                    request->entry->name, d_model, single.options.json().dump()));

  for (const Parameter& parameter : single.parameters) {
    parameter.set_value(read_tensor(weights, parameter.spec().name).to(request->dtype).variable());
  }
  const Tensor x = read_tensor(input, "x").to(request->dtype);
  const Tensor dy = request->gradients ? read_tensor(input, "dy").to(request->dtype) : Tensor{};

  // Opened before the work, so that a place where nothing can be written is told at once.
  std::vector<SafetensorsInfo> announced = {{"y", request->dtype == DType::f64 ? "F64" : "F32", shape}};
  if (request->gradients) {
    announced.push_back({"dx", announced[0].dtype, shape});
    for (const Parameter& parameter : single.parameters) {
      const auto dims = parameter.spec().shape.dims();
      announced.push_back({"grad." + parameter.spec().name, announced[0].dtype, {dims.begin(), dims.end()}});
    }
  }
  SafetensorsWriter output(request->output, announced,
                           {{"generator", fmt::format("zoo {}", version)},
                            {"layer", request->entry->name},
                            {"options", single.options.json().dump()},
                            {"chunks", fmt::format("{}", fmt::join(chunks, ","))}});
  write_result(output, evaluate(single, x, dy, chunks));
  return 0;
}

const RegisterCommand command({.name = "forward",
                               .help = "put given numbers through a layer with given weights",
                               .run = run});

}  // namespace
}  // namespace zoo
