#include "zoo/text/prepare.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "runners/arguments.h"
#include "runners/lm/lm.h"
#include "zoo/core/error.h"
#include "zoo/sweep/interrupt.h"
#include "zoo/sweep/progress.h"
#include "zoo/sweep/text.h"
#include "zoo/sweep/units.h"
#include "zoo/text/corpus.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

constexpr double terminal_interval = 0.2;
constexpr double plain_interval = 60;

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                                                   //
      ("text", po::value<std::vector<std::string>>()->multitoken()->composing(), "text files, in UTF-8")  //
      ("tokenizer", po::value<std::string>(),
       "byte, bpe:SIZE (a SentencePiece model of SIZE pieces, trained on the text) or sentencepiece:MODEL")  //
      ("out", po::value<std::string>(), "the corpus's folder")                                               //
      ("validation", po::value<std::string>(), "fraction of the documents that is for validation (0.05)")    //
      ("seed", po::value<std::string>(), "of the choice of these documents (0)")                             //
      ("separator", po::value<std::string>(),
       "a file is several documents, between the lines that equal this text; otherwise it is one")                   //
      ("lossy", po::bool_switch(), "replace what is not valid UTF-8 by U+FFFD rather than refuse it")                //
      ("shard-tokens", po::value<std::string>(), "tokens in a shard, at most (67108864)")                            //
      ("tokenizer-bytes", po::value<std::string>(), "bytes of the text that bpe is trained on, at most (33554432)")  //
      ("check", po::value<std::string>(), "read all of the corpus in a folder and tell whether it is whole")         //
      ("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Makes a corpus of text: tokens in memory-mapped shards, split into train and validation by document. What "
          "was\n"
          "interrupted goes on with the same arguments.\n\n"
          "Usage: zoo lm prepare --text FILES --tokenizer TOKENIZER --out DIR [OPTIONS]\n"
          "       zoo lm prepare --check DIR\n\n"
       << describe_options()
       << "\nFor example:\n"
          "  zoo lm prepare --text book.txt --tokenizer byte --out book\n"
          "  zoo lm prepare --text wiki/*.txt --tokenizer bpe:8192 --separator '<|endoftext|>' --out wiki.corpus\n";
  return text.str();
}

PrepareSettings parse(const po::variables_map& values, std::span<const std::string> arguments) {
  for (const char* name : {"text", "tokenizer", "out"}) {
    if (!values.contains(name)) throw UsageError("zoo lm prepare needs --{}\n\n{}", name, usage());
  }
  const auto text = [&](const char* name) { return values[name].as<std::string>(); };
  PrepareSettings settings;
  settings.text.files = values["text"].as<std::vector<std::string>>();
  settings.text.lossy = values["lossy"].as<bool>();
  settings.tokenizer = text("tokenizer");
  settings.out = text("out");
  if (values.contains("separator")) settings.text.separator = text("separator");
  if (values.contains("validation")) settings.validation = parse_real("--validation", text("validation"));
  if (values.contains("seed")) {
    settings.seed = static_cast<std::uint64_t>(parse_integer("--seed", text("seed"), 0));
  }
  if (values.contains("shard-tokens")) {
    settings.shard_tokens = parse_integer("--shard-tokens", text("shard-tokens"), 1);
  }
  if (values.contains("tokenizer-bytes")) {
    settings.tokenizer_bytes = parse_integer("--tokenizer-bytes", text("tokenizer-bytes"), 1);
  }
  std::vector<std::string> words = {"zoo", "lm", "prepare"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  settings.command = shell_command(words);
  return settings;
}

/// One line on standard error: rewritten in place on a terminal, otherwise one a minute.
class Progress {
 public:
  Progress() : terminal_(isatty(STDERR_FILENO) == 1) { next_draw_ = terminal_ ? 0 : plain_interval; }
  ~Progress() { erase_line(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count(); }

  void note(const std::string& line) {
    erase_line();
    fmt::print(stderr, "{}\n", line);
    std::fflush(stderr);
  }

  void show(std::string_view stage, std::int64_t done, std::int64_t all) {
    const double now = seconds();
    if (stage != stage_) {
      stage_ = stage;
      stage_began_ = now;
      stage_first_ = done;
    }
    if (now < next_draw_) return;
    next_draw_ = now + (terminal_ ? terminal_interval : plain_interval);
    const double fraction = all > 0 ? static_cast<double>(done) / static_cast<double>(all) : 1;
    std::string line =
        fmt::format("{} {}: {} of {}", progress_bar(fraction, 20), stage, human_bytes(done), human_bytes(all));
    if (done > stage_first_ && now > stage_began_) {
      const double rate = static_cast<double>(done - stage_first_) / (now - stage_began_);
      line += fmt::format(", {}/s, {} left", human_bytes(static_cast<std::int64_t>(rate)),
                          human_seconds(static_cast<double>(all - done) / rate));
    }
    if (!terminal_) {
      note(line);
      return;
    }
    const std::size_t width = terminal_width(STDERR_FILENO);
    if (width > 0 && line.size() >= width) line.resize(width - 1);
    fmt::print(stderr, "\r\033[K{}", line);
    std::fflush(stderr);
  }

 private:
  void erase_line() const {
    if (!terminal_) return;
    fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  }

  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  bool terminal_;
  double next_draw_;
  std::string stage_;
  double stage_began_ = 0;
  std::int64_t stage_first_ = 0;
};

void summarise(const std::string& folder, const CorpusInfo& info) {
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    const SplitInfo& split = info.splits[i];
    fmt::print("  {:<11} {} documents, {} bytes, {} tokens", split_name(corpus_splits[i]), split.documents, split.bytes,
               split.tokens);
    if (split.tokens > 0) {
      fmt::print(", {:.3f} bytes per token", static_cast<double>(split.bytes) / static_cast<double>(split.tokens));
    }
    fmt::print("\n");
  }
  fmt::print("  tokenizer   {}, {} tokens in the vocabulary\n  hash        {}\n", info.tokenizer, info.vocab_size,
             info.hash);
  if (info.splits[1].tokens == 0) fmt::print("  There is no validation split (--validation 0).\n");
  // A few documents cannot be split as finely as was asked.
  const double text = static_cast<double>(info.splits[0].bytes + info.splits[1].bytes);
  const double share = static_cast<double>(info.splits[1].bytes) / text;
  constexpr double much = 0.3;
  if (share > much) {
    fmt::print(
        "  The validation split has {:.0f}% of the text, since documents stay whole and are few; another --seed\n"
        "  chooses others, --separator cuts files into documents, and one file alone is split at a line.\n",
        100 * share);
  }
  fmt::print("zoo lm train --corpus {} trains on it.\n", shell_command({folder}));
}

int check(const std::string& folder) {
  const Corpus corpus(folder);
  corpus.verify();
  fmt::print("'{}' is whole: {} train tokens, {} validation tokens, hash {}\n", folder, corpus.tokens(Split::train),
             corpus.tokens(Split::validation), corpus.hash());
  return 0;
}

int prepare(const PrepareSettings& settings) {
  Progress progress;
  // Before there is something to save, and in the training of a tokenizer, a signal ends the process as any other.
  std::optional<InterruptGuard> guard;
  const PrepareResult result =
      prepare_corpus(settings, {.note = [&](const std::string& line) { progress.note(line); },
                                .progress =
                                    [&](std::string_view stage, std::int64_t done, std::int64_t all) {
                                      if (stage == "encoding" && !guard) guard.emplace();
                                      progress.show(stage, done, all);
                                    },
                                .stop = [] { return InterruptGuard::count() > 0; }});
  if (result.outcome == PrepareOutcome::stopped) {
    progress.note("interrupted; the same command goes on from here");
    return 130;
  }
  if (result.outcome == PrepareOutcome::was_there) {
    fmt::print("The corpus '{}' was made before; there is nothing to do.\n", settings.out);
  } else {
    std::int64_t bytes = 0;
    for (const SplitInfo& split : result.info.splits) bytes += split.bytes;
    const double seconds = progress.seconds();
    fmt::print("Made the corpus '{}' in {}: {}/s\n", settings.out, human_seconds(seconds),
               human_bytes(static_cast<std::int64_t>(static_cast<double>(bytes) / seconds)));
  }
  summarise(settings.out, result.info);
  return 0;
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm prepare", describe_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  if (values.contains("check")) {
    if (arguments.size() > 2) throw UsageError("--check DIR is a command of its own; give it alone");
    return check(values["check"].as<std::string>());
  }
  return prepare(parse(values, arguments));
}

const RegisterLm command({.name = "prepare", .help = "make a corpus of tokens from text", .run = run});

}  // namespace
}  // namespace zoo
