#include "zoo/text/prepare.h"

#include <chrono>
#include <exception>
#include <filesystem>

#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/text/prepare_folder.h"
#include "zoo/text/prepare_state.h"
#include "zoo/text/split_reader.h"
#include "zoo/text/tokenizer_choice.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

namespace {

// Enough text for every thread, and little enough for every memory.
constexpr std::int64_t batch_bytes = std::int64_t{4} << 20;
constexpr std::size_t batch_pieces = 4096;

void check(const PrepareSettings& settings) {
  if (settings.text.files.empty()) throw UsageError("--text needs at least one file");
  if (!(settings.validation >= 0 && settings.validation < 1)) {
    throw UsageError("--validation is {}; it must be a fraction from 0 to below 1", settings.validation);
  }
  if (settings.shard_tokens < 1) throw UsageError("--shard-tokens is {}; it must be at least 1", settings.shard_tokens);
  if (settings.tokenizer_bytes < 1) {
    throw UsageError("--tokenizer-bytes is {}; it must be at least 1", settings.tokenizer_bytes);
  }
  const std::optional<std::string>& separator = settings.text.separator;
  if (separator && (separator->empty() || separator->find_first_of("\r\n") != std::string::npos)) {
    throw UsageError("--separator must be the text of one line, and not empty");
  }
}

std::map<std::string, std::string> settings_record(const PrepareSettings& settings, const TokenizerChoice& tokenizer) {
  std::map<std::string, std::string> record = {{"tokenizer", tokenizer.record()},
                                               {"validation", fmt::format("{}", settings.validation)},
                                               {"seed", fmt::format("{}", settings.seed)},
                                               {"shard-tokens", fmt::format("{}", settings.shard_tokens)},
                                               {"lossy", settings.text.lossy ? "yes" : "no"}};
  if (settings.text.separator) record["separator"] = *settings.text.separator;
  if (tokenizer.is_trained()) record["tokenizer-bytes"] = fmt::format("{}", settings.tokenizer_bytes);
  return record;
}

void check_text(const PrepareRecord& record, double validation) {
  if (record.documents == 0) throw UsageError("there is no text in the files of --text: nothing to make a corpus of");
  if (is_split_within(record, validation) && record.bytes < least_single_bytes) {
    throw UsageError(
        "the text is one document of {} bytes, too little to validate on a part of it; give more text, or "
        "--validation 0",
        record.bytes);
  }
}

// The record of a corpus that was begun before, or of one that is begun now.
PrepareRecord begin(const PrepareSettings& settings, const TokenizerChoice& tokenizer,
                    const PrepareObserver& observer) {
  const std::int64_t all = total_size(settings.text.files);
  const ReadProgress progress = [&](std::int64_t bytes) { observer.progress("reading", bytes, all); };
  const std::map<std::string, std::string> chosen = settings_record(settings, tokenizer);
  if (std::optional<PrepareRecord> record = read_prepare_record(settings.out)) {
    check_settings(record->settings, chosen, settings.out);
    record->sources = check_sources(record->sources, settings.text.files, settings.out, progress);
    return *record;
  }
  PrepareRecord record = scan_text(settings.text, progress);
  check_text(record, settings.validation);
  record.command = settings.command;
  record.settings = chosen;
  write_prepare_record(settings.out, record);
  return record;
}

// Tokens of each piece, in parallel.
std::vector<std::vector<std::int32_t>> encode(const Tokenizer& tokenizer, const std::vector<SplitPiece>& pieces) {
  std::vector<std::vector<std::int32_t>> tokens(pieces.size());
  std::vector<std::exception_ptr> failures(pieces.size());
  parallel_for(std::ssize(pieces), 1, [&](std::int64_t first, std::int64_t last) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      try {
        tokenizer.encode(pieces[i].text, tokens[i]);
        if (pieces[i].ends_document) tokens[i].push_back(tokenizer.end_of_document());
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return tokens;
}

class Writer {
 public:
  Writer(const PrepareSettings& settings, std::int64_t vocab_size, const PrepareProgress& from)
      : folder_(settings.out), save_interval_(settings.save_seconds), saved_(std::chrono::steady_clock::now()) {
    for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
      shards_.emplace_back(settings.out, corpus_splits[i], token_bytes(vocab_size), settings.shard_tokens,
                           from.splits[i]);
    }
  }

  void append(const std::vector<SplitPiece>& pieces, const std::vector<std::vector<std::int32_t>>& tokens) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ShardWriter& shards = shards_[pieces[i].split == Split::train ? 0 : 1];
      shards.append(tokens[i]);
      shards.count(std::ssize(pieces[i].text), pieces[i].ends_document);
    }
  }

  void save(const TextPosition& position) {
    PrepareProgress progress{position, {}};
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      shards_[i].sync();
      progress.splits[i] = shards_[i].progress();
    }
    write_prepare_progress(folder_, progress);
    saved_ = std::chrono::steady_clock::now();
    finished_ = finished_shards();
  }

  // Saves when it is time to, or a shard was finished.
  void save_sometimes(const TextPosition& position) {
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - saved_;
    if (since.count() >= save_interval_ || finished_shards() > finished_) save(position);
  }

  std::array<SplitInfo, 2> finish() {
    for (ShardWriter& shards : shards_) shards.finish();
    return {shards_[0].progress().info, shards_[1].progress().info};
  }

 private:
  std::size_t finished_shards() const {
    return shards_[0].progress().info.shards.size() + shards_[1].progress().info.shards.size();
  }

  std::string folder_;
  double save_interval_;
  std::chrono::steady_clock::time_point saved_;
  std::size_t finished_ = 0;
  std::vector<ShardWriter> shards_;  // as in corpus_splits
};

}  // namespace

PrepareResult prepare_corpus(const PrepareSettings& settings, const PrepareObserver& observer) {
  check(settings);
  const TokenizerChoice choice(settings.tokenizer);
  PrepareFolder folder(settings.out);
  const PrepareRecord record = begin(settings, choice, observer);
  folder.keep();
  if (folder.is_finished()) {
    folder.remove_progress();
    return {PrepareOutcome::was_there, read_corpus_file(settings.out)};
  }
  if (is_split_within(record, settings.validation)) {
    observer.note(
        fmt::format("the text is one document: the last {:g}% of it are for validation (--validation); --separator "
                    "splits a file into documents",
                    100 * settings.validation));
  }
  SplitReader::Settings reading{settings.validation, settings.seed, 64 * 1024, record.sources};
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    tokenizer = choice.make(settings, record, reading, observer);
  } catch (const UsageError&) {
    folder.forget_record();
    throw;
  }

  const std::optional<PrepareProgress> before = read_prepare_progress(settings.out);
  if (before) observer.note(fmt::format("going on with '{}'", settings.out));
  Writer writer(settings, tokenizer->vocab_size(), before.value_or(PrepareProgress{}));
  SplitReader reader(settings.text, record, reading, before ? before->position : TextPosition{});
  std::int64_t done = 0;
  if (before) {
    for (const SplitProgress& split : before->splits) done += split.info.bytes;
  }
  observer.progress("encoding", done, record.bytes);
  for (bool more = true; more;) {
    std::vector<SplitPiece> pieces;
    std::int64_t bytes = 0;
    std::size_t counted = 0;
    while (bytes < batch_bytes && pieces.size() < batch_pieces && (more = reader.next(pieces))) {
      for (; counted < pieces.size(); ++counted) bytes += std::ssize(pieces[counted].text);
    }
    writer.append(pieces, encode(*tokenizer, pieces));
    done += bytes;
    observer.progress("encoding", done, record.bytes);
    if (more && observer.stop()) {
      writer.save(reader.position());
      return {PrepareOutcome::stopped, {}};
    }
    if (more) writer.save_sometimes(reader.position());
  }

  CorpusInfo info{tokenizer->name(), tokenizer->vocab_size(), record.command, writer.finish(), ""};
  if (reader.position().document != record.documents) {
    throw Error("the text changed while the corpus was made of it; remove '{}' and begin again", settings.out);
  }
  info.hash = corpus_hash(tokenizer_digest(settings.out), info);
  write_corpus_file(settings.out, info);
  folder.remove_progress();
  return {PrepareOutcome::made, info};
}

}  // namespace zoo
