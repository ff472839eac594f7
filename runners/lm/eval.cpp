#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/lm/lm.h"
#include "zoo/core/error.h"
#include "zoo/core/precision.h"
#include "zoo/lm/checkpoint.h"
#include "zoo/lm/evaluation.h"
#include "zoo/sweep/text.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  std::string checkpoint;
  std::string corpus;
  Split split = Split::validation;
  std::int64_t context = 0;  // 0: the model's
  std::int64_t tokens = 0;   // 0: all
  std::int64_t frequent = RecallTokens::often;
  Precision precision = Precision::float32;
  bool json = false;
};

po::options_description describe_options() {
  const auto text = [] { return po::value<std::string>(); };
  po::options_description options;
  options.add_options()                                                                                  //
      ("checkpoint", text(), "a checkpoint, or the folder of a run")                                     //
      ("corpus", text(), "a folder that zoo lm prepare wrote")                                           //
      ("split", text(), "train or validation (validation)")                                              //
      ("context", text(), "tokens of a sequence (what the model was trained with)")                      //
      ("tokens", text(), "how many to read, at most (all)")                                              //
      ("frequent-bigrams", text(), "bigrams seen more often in training do not count as recall (1250)")  //
      ("precision", text(), "of products with --device gpu: float32, tf32 or bf16 (float32)")            //
      ("json", po::bool_switch(), "print JSON")                                                          //
      ("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Perplexity of a language model on a corpus: in all, by the position in the context, and of the tokens that\n"
          "ask for recall (they complete a bigram that stands earlier in the context).\n\n"
          "Usage: zoo lm eval --checkpoint DIR --corpus DIR [OPTIONS]\n\n"
       << describe_options();
  return text.str();
}

Request parse(const po::variables_map& values) {
  const auto text = [&](const char* name, const char* otherwise) {
    return values.contains(name) ? values[name].as<std::string>() : std::string(otherwise);
  };
  Request request;
  request.checkpoint = text("checkpoint", "");
  request.corpus = text("corpus", "");
  if (request.checkpoint.empty() || request.corpus.empty()) {
    throw UsageError("zoo lm eval needs --checkpoint and --corpus; see zoo lm eval --help");
  }
  request.split = parse_split(text("split", "validation"));
  if (values.contains("context")) request.context = parse_integer("--context", text("context", ""), 1);
  if (values.contains("tokens")) request.tokens = parse_integer("--tokens", text("tokens", ""), 1);
  if (values.contains("frequent-bigrams")) {
    request.frequent = parse_integer("--frequent-bigrams", text("frequent-bigrams", ""), 0);
  }
  if (values.contains("precision")) request.precision = read_precision("--precision", text("precision", ""));
  request.json = values["json"].as<bool>();
  return request;
}

void print(const SliceResult& result) {
  const nlohmann::json& metrics = result.metrics;
  const auto& interval = metrics.at("perplexity_interval");
  fmt::print("perplexity {:.4f}", metrics.at("perplexity").get<double>());
  if (interval.is_array()) {
    fmt::print(" (95% over {} sequences: {:.4f} to {:.4f})", metrics.at("sequences").get<std::int64_t>(),
               interval[0].get<double>(), interval[1].get<double>());
  }
  fmt::print(", loss {:.5f}, accuracy {:.4f}, {} tokens\n\n", result.loss, result.accuracy, result.labelled);
  const auto line = [](const std::string& name, const nlohmann::json& part) {
    if (part.at("loss").is_null()) return;
    const double loss = part.at("loss").get<double>();
    fmt::print("  {:<20} {:>10} tokens   perplexity {:>10.4f}   loss {:.5f}\n", name,
               part.at("tokens").get<std::int64_t>(), std::exp(loss), loss);
  };
  for (const nlohmann::json& part : metrics.at("positions")) {
    line(fmt::format("position {} to {}", part.at("from").get<std::int64_t>(), part.at("to").get<std::int64_t>()),
         part);
  }
  line("recall", metrics.at("recall"));
  line("other", metrics.at("other"));
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm eval", describe_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  const Request request = parse(values);
  const WithPrecision precision(request.precision);
  const Corpus corpus(request.corpus);
  const LoadedLm loaded = load_lm(request.checkpoint);
  const bool other_tokens =
      !loaded.tokenizer_digest.empty() && loaded.tokenizer_digest != tokenizer_digest(request.corpus);
  if (other_tokens || corpus.tokenizer().vocab_size() > loaded.spec.vocab_size) {
    throw UsageError(
        "the tokens of {} ({}, {} of them) are not those that the model of {} was trained on{}; prepare the "
        "text with the model's tokenizer",
        request.corpus, corpus.tokenizer().name(), corpus.tokenizer().vocab_size(), request.checkpoint,
        loaded.tokenizer ? fmt::format(" ({}, {})", loaded.tokenizer->name(), loaded.spec.vocab_size)
                         : fmt::format(" ({})", loaded.spec.vocab_size));
  }
  const std::int64_t context = request.context > 0 ? request.context : loaded.spec.max_length;
  const Sequences sequences(corpus, request.split, context);
  const std::int64_t wanted =
      request.tokens > 0 ? std::max<std::int64_t>(request.tokens / context, 1) : sequences.count();
  const RecallTokens recall(corpus, request.frequent);
  const LmScores scores = evaluate_lm(loaded.model, sequences, std::min(wanted, sequences.count()), &recall);
  SliceResult result = lm_result(scores, context, 0);
  if (request.json) {
    nlohmann::json all = result.metrics;
    all.update(
        {{"loss", result.loss}, {"accuracy", result.accuracy}, {"tokens", result.labelled}, {"context", context}});
    fmt::print("{}\n", all.dump(2));
  } else {
    print(result);
  }
  return 0;
}

const RegisterLm command({.name = "eval", .help = "perplexity of a model on a corpus", .run = run});

}  // namespace
}  // namespace zoo
