#include "zoo/lm/generate.h"

#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/lm/lm.h"
#include "zoo/core/error.h"
#include "zoo/lm/checkpoint.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

struct Request {
  std::string checkpoint;
  std::string tokenizer;
  std::vector<std::string> prompts;
  bool batch = false;
  GenerateOptions options;
};

po::options_description describe_options() {
  const auto text = [] { return po::value<std::string>(); };
  po::options_description options;
  options.add_options()                                                                           //
      ("checkpoint", text(), "a checkpoint, or the folder of a run")                              //
      ("prompt", text(), "the text to go on with")                                                //
      ("batch", text(), "a file with a prompt a line; prints a line of JSON for each")            //
      ("max-tokens", text(), "tokens to make, at most (128)")                                     //
      ("temperature", text(), "1: as the model says; below: surer; 0: always the likeliest (1)")  //
      ("top-k", text(), "only the K likeliest tokens; 0: all (0)")                                //
      ("top-p", text(), "only the likeliest tokens that have this share of the probability (1)")  //
      ("repetition-penalty", text(), "above 1: against what was said before (1)")                 //
      ("seed", text(), "of what is drawn (0)")                                                    //
      ("tokenizer", text(), "a folder with the tokenizer, where the checkpoint has none")         //
      ("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Lets a language model go on with a text.\n\n"
          "Usage: zoo lm generate --checkpoint DIR --prompt TEXT [OPTIONS]\n\n"
       << describe_options()
       << "\nFor example:\n  zoo lm generate --checkpoint runs/mamba --prompt \"Once upon\" "
          "--max-tokens 100 --temperature 0.8 --top-p 0.95\n";
  return text.str();
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UsageError("cannot open '{}'; give a text file with a prompt a line", path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty()) throw UsageError("'{}' holds no prompts; write one a line", path);
  return lines;
}

Request parse(const po::variables_map& values) {
  const auto text = [&](const char* name, const char* otherwise) {
    return values.contains(name) ? values[name].as<std::string>() : std::string(otherwise);
  };
  Request request;
  request.checkpoint = text("checkpoint", "");
  if (request.checkpoint.empty()) throw UsageError("zoo lm generate needs --checkpoint; see zoo lm generate --help");
  request.tokenizer = text("tokenizer", "");
  request.batch = values.contains("batch");
  if (values.contains("prompt") == request.batch) throw UsageError("give either --prompt TEXT or --batch FILE");
  request.prompts = request.batch ? read_lines(text("batch", "")) : std::vector{text("prompt", "")};
  request.options.max_tokens = parse_integer("--max-tokens", text("max-tokens", "128"), 1);
  request.options.seed = static_cast<std::uint64_t>(parse_integer("--seed", text("seed", "0"), 0));
  SamplingOptions& sampling = request.options.sampling;
  sampling.temperature = parse_real("--temperature", text("temperature", "1"));
  sampling.top_k = parse_integer("--top-k", text("top-k", "0"), 0);
  sampling.top_p = parse_real("--top-p", text("top-p", "1"));
  sampling.repetition_penalty = parse_real("--repetition-penalty", text("repetition-penalty", "1"));
  check_sampling(sampling);
  return request;
}

// Prints a text as its tokens come: what a token adds can depend on those before it (spaces, characters of several
// bytes), so a few of these are decoded again with it.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void begin(std::span<const std::int32_t> prompt) {
    tokens_.assign(prompt.end() - std::min<std::ptrdiff_t>(std::ssize(prompt), 8), prompt.end());
    shown_ = tokenizer_.decode(tokens_);
  }

  void add(std::int32_t token) {
    tokens_.push_back(token);
    const std::string text = tokenizer_.decode(tokens_);
    if (!ends_whole(text)) return;
    print(text);
    if (tokens_.size() < 64) return;
    tokens_.erase(tokens_.begin(), tokens_.end() - 8);
    shown_ = tokenizer_.decode(tokens_);
  }

  void end() { print(tokenizer_.decode(tokens_) + "\n"); }

 private:
  void print(const std::string& text) {
    if (text.size() > shown_.size()) fmt::print("{}", text.substr(shown_.size()));
    std::fflush(stdout);
    shown_ = text;
  }

  // Whether the last character has all of its bytes.
  static bool ends_whole(std::string_view text) {
    std::size_t back = 0;
    while (back < 3 && back < text.size() && (static_cast<unsigned char>(text[text.size() - 1 - back]) & 0xC0) == 0x80)
      ++back;
    if (back >= text.size()) return true;
    const auto lead = static_cast<unsigned char>(text[text.size() - 1 - back]);
    const std::size_t needed = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    return back >= needed;
  }

  const Tokenizer& tokenizer_;
  std::vector<std::int32_t> tokens_;
  std::string shown_;
};

void print_json(const Request& request, const Tokenizer& tokenizer,
                const std::vector<std::vector<std::int32_t>>& texts) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const nlohmann::json line = {
        {"prompt", request.prompts[i]}, {"text", tokenizer.decode(texts[i])}, {"tokens", texts[i].size()}};
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm generate", describe_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  Request request = parse(values);
  LoadedLm loaded = load_lm(request.checkpoint);
  if (!request.tokenizer.empty()) loaded.tokenizer = load_tokenizer(request.tokenizer);
  if (!loaded.tokenizer) {
    throw UsageError("{} has no tokenizer; give one with --tokenizer, the folder of a corpus for example",
                     request.checkpoint);
  }
  const Tokenizer& tokenizer = *loaded.tokenizer;
  if (tokenizer.vocab_size() > loaded.spec.vocab_size) {
    throw UsageError("the tokenizer has {} tokens and the model {}: they do not belong together",
                     tokenizer.vocab_size(), loaded.spec.vocab_size);
  }
  request.options.end = tokenizer.end_of_document();

  std::map<std::size_t, std::vector<std::size_t>> by_length;
  std::vector<std::vector<std::int32_t>> prompts(request.prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    tokenizer.encode(request.prompts[i], prompts[i]);
    // A text out of nothing begins as documents do, behind the end of another.
    if (prompts[i].empty()) prompts[i].push_back(tokenizer.end_of_document());
    by_length[prompts[i].size()].push_back(i);
  }
  TextStream stream(tokenizer);
  if (!request.batch) {
    fmt::print("{}", request.prompts.front());
    stream.begin(prompts.front());
  }
  std::vector<std::vector<std::int32_t>> texts(prompts.size());
  std::int64_t made = 0;
  const auto began = std::chrono::steady_clock::now();
  for (const auto& [length, members] : by_length) {
    std::vector<std::vector<std::int32_t>> group;
    std::vector<std::uint64_t> numbers;
    for (const std::size_t i : members) {
      group.push_back(prompts[i]);
      numbers.push_back(i);
    }
    const auto results = generate(loaded.model, group, numbers, request.options, [&](std::size_t, std::int32_t token) {
      ++made;
      if (!request.batch && token != request.options.end) stream.add(token);
    });
    for (std::size_t i = 0; i < members.size(); ++i) texts[members[i]] = results[i];
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (request.batch) {
    print_json(request, tokenizer, texts);
  } else {
    stream.end();
  }
  fmt::print(stderr, "{} tokens in {:.2f} s, {:.1f} tokens/s\n", made, seconds, static_cast<double>(made) / seconds);
  return 0;
}

const RegisterLm command({.name = "generate", .help = "let a model go on with a text", .run = run});

}  // namespace
}  // namespace zoo
