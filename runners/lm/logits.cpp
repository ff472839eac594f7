#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/arguments.h"
#include "runners/lm/lm.h"
#include "runners/tensor_arguments.h"
#include "zoo/core/error.h"
#include "zoo/core/tape.h"
#include "zoo/core/version.h"
#include "zoo/io/tensor_file.h"
#include "zoo/lm/checkpoint.h"
#include "zoo/ops/ops.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

// Rows of logits that are formed and written at a time.
constexpr std::int64_t rows_at_once = 256;

struct Request {
  std::string checkpoint;
  std::string input;
  std::string output;
  std::vector<std::int64_t> chunks;  // empty: the whole in one
  DType dtype = DType::f32;
};

po::options_description named_options() {
  po::options_description options;
  const auto text = [] { return po::value<std::string>(); };
  options.add_options()                                                                                       //
      ("checkpoint", text(), "folder with the model")                                                         //
      ("input", text(), "safetensors file with tokens [B,T], I32 or I64")                                     //
      ("output", text(), "safetensors file to write: logits [B,T,vocabulary]")                                //
      ("chunks", text(), "lengths of the chunks in which the tokens are given, a,b,c; their sum is T (all)")  //
      ("dtype", text(), "precision of the computation, f32 or f64 (f32)")                                     //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text << "Compute the logits that a language model gives after each of given tokens, to compare it with another\n"
          "implementation.\n\n"
          "Usage: zoo lm logits --checkpoint DIR --input FILE --output FILE [OPTIONS]\n\n"
       << named_options()
       << "\nThe folder is a run's or a checkpoint of zoo lm train, or a public checkpoint: config.json and\n"
          "model.safetensors of transformers' Llama, Mamba, Mamba2 or Rwkv, or of the release of TTT. Sequences begin "
          "without a past; chunk after chunk goes on from\n"
          "the state that the one before left. What is written has the precision of the computation.\n\n"
          "Exit code: 0 done, 1 the output cannot be written, 2 wrong usage, model or tokens.\n";
  return text.str();
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm logits", named_options(), arguments);
  if (values["help"].as<bool>()) return std::nullopt;
  const auto text = [&](const char* name) {
    if (!values.contains(name) || values[name].as<std::string>().empty()) {
      throw UsageError("zoo lm logits: --{} is missing; it needs --checkpoint, --input and --output", name);
    }
    return values[name].as<std::string>();
  };
  const Request request{.checkpoint = text("checkpoint"),
                        .input = text("input"),
                        .output = text("output"),
                        .chunks = read_chunks(values),
                        .dtype = read_dtype(values)};
  return request;
}

// The tokens [B,T] of the input, each in a vocabulary of that size.
Tensor read_tokens(const std::string& path, std::int64_t vocabulary) {
  const SafetensorsFile file(path);
  const SafetensorsInfo& info = file.info("tokens");
  if (info.dtype != "I32" && info.dtype != "I64") {
    throw UsageError("'{}': tensor 'tokens' has dtype {}; expected I32 or I64", path, info.dtype);
  }
  if (info.shape.size() != 2 || std::ranges::min(info.shape) < 1) {
    throw UsageError("'{}': tensor 'tokens' is [{}]; expected [B, T], neither of them 0", path,
                     fmt::join(info.shape, ", "));
  }
  const Tensor tokens = read_tensor(file, "tokens");
  for (std::int64_t i = 0; i < tokens.size(); ++i) {
    const std::int32_t token = tokens.data<std::int32_t>()[i];
    if (token < 0 || token >= vocabulary) {
      throw UsageError("'{}': token [{}, {}] is {}; the model's vocabulary goes from 0 to {}", path, i / tokens.dim(1),
                       i % tokens.dim(1), token, vocabulary - 1);
    }
  }
  return tokens;
}

// What the head reads, [B*T, D].
Tensor hidden_states(const Model& model, const Tensor& tokens, const std::vector<std::int64_t>& chunks) {
  ModelState state = model.initial_state(tokens.dim(0));
  Tensors parts;
  std::int64_t begin = 0;
  for (const std::int64_t length : chunks) {
    parts.push_back(model.forward(ops::slice(tokens, 1, begin, begin + length), state, {}));
    begin += length;
  }
  const Tensor whole = parts.size() == 1 ? parts[0] : ops::concat(parts, 1);
  return whole.view({whole.dim(0) * whole.dim(1), whole.dim(2)});
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print("{}", help());
    return 0;
  }
  const LoadedLm loaded = load_lm(request->checkpoint, request->dtype);
  const std::int64_t vocabulary = loaded.spec.vocab_size;
  const Tensor tokens = read_tokens(request->input, vocabulary);
  const std::vector<std::int64_t> chunks = chunks_of(request->chunks, tokens.dim(1), "the tokens");

  // Opened before the work, so that a place where nothing can be written is told at once.
  const char* dtype = request->dtype == DType::f64 ? "F64" : "F32";
  SafetensorsWriter output(request->output, {{"logits", dtype, {tokens.dim(0), tokens.dim(1), vocabulary}}},
                           {{"generator", fmt::format("zoo {}", version)}});
  const NoTape off;
  const Tensor hidden = hidden_states(loaded.model, tokens, chunks);
  for (std::int64_t row = 0; row < hidden.dim(0); row += rows_at_once) {
    const Tensor rows = hidden.rows(row, std::min(rows_at_once, hidden.dim(0) - row));
    const Tensor logits = ops::linear(rows, loaded.model.head().weight());
    output.write({static_cast<const std::byte*>(logits.raw()), logits.bytes()});
  }
  output.commit();
  return 0;
}

const RegisterLm command({.name = "logits", .help = "compute the logits of given tokens", .run = run});

}  // namespace
}  // namespace zoo
