#include "zoo/text/corpus_file.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"
#include "zoo/text/json_file.h"
#include "zoo/text/prepare_state.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

namespace {

using nlohmann::json;

constexpr const char* format = "zoo corpus";
constexpr int corpus_version = 1;
constexpr std::int64_t most_tokens = std::int64_t{1} << 50;

std::uint64_t parse_hash(const JsonFile& shard) {
  const std::string text = shard.text("hash");
  std::uint64_t hash = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), hash, 16);
  if (error != std::errc{} || end != text.data() + text.size() || text.size() != 16) {
    throw UsageError("'{}' is damaged: '{}' is not a shard's hash", shard.path(), text);
  }
  return hash;
}

}  // namespace

json split_json(Split split, const SplitInfo& info) {
  json shards = json::array();
  for (const ShardInfo& shard : info.shards) {
    shards.push_back({{"name", shard_name(split, shards.size())},
                      {"tokens", shard.tokens},
                      {"hash", fmt::format("{:016x}", shard.hash)}});
  }
  return {{"tokens", info.tokens}, {"documents", info.documents}, {"bytes", info.bytes}, {"shards", std::move(shards)}};
}

SplitInfo parse_split_info(const JsonFile& file, Split split, std::int64_t unfinished) {
  SplitInfo info{file.count("tokens"), file.count("documents"), file.count("bytes"), {}};
  std::int64_t tokens = unfinished;
  for (const JsonFile& shard : file.objects("shards")) {
    if (shard.text("name") != shard_name(split, info.shards.size())) {
      throw UsageError("'{}' is damaged: its shard '{}' must be '{}'", file.path(), shard.text("name"),
                       shard_name(split, info.shards.size()));
    }
    info.shards.push_back({shard.count("tokens"), parse_hash(shard)});
    const std::int64_t here = info.shards.back().tokens;
    if (here < 1 || here > most_tokens - tokens) {
      throw UsageError("'{}' is damaged: a shard of {} tokens", file.path(), here);
    }
    tokens += here;
  }
  if (tokens != info.tokens) {
    throw UsageError("'{}' is damaged: its {} split has {} tokens in shards, not {}", file.path(), split_name(split),
                     tokens, info.tokens);
  }
  return info;
}

std::string corpus_hash(const std::string& tokenizer_digest, const CorpusInfo& info) {
  std::string text = tokenizer_digest;
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    text += fmt::format("\n{}", split_name(corpus_splits[i]));
    for (const ShardInfo& shard : info.splits[i].shards) text += fmt::format(" {}:{:016x}", shard.tokens, shard.hash);
  }
  return digest(text);
}

void write_corpus_file(const std::string& folder, const CorpusInfo& info) {
  json all = {{"format", format},
              {"version", corpus_version},
              {"tokenizer", info.tokenizer},
              {"vocab_size", info.vocab_size},
              {"token_bytes", token_bytes(info.vocab_size)},
              {"command", info.command},
              {"hash", info.hash}};
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    all["splits"][std::string(split_name(corpus_splits[i]))] = split_json(corpus_splits[i], info.splits[i]);
  }
  write_file_atomically(folder + "/" + corpus_file_name,
                        all.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

CorpusInfo read_corpus_file(const std::string& folder) {
  const std::string path = folder + "/" + corpus_file_name;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) throw UsageError("there is no folder '{}'", folder);
  if (!std::filesystem::exists(path, error)) {
    if (std::filesystem::exists(folder + "/" + prepare_file_name, error)) {
      throw UsageError("the corpus '{}' is not finished; zoo lm prepare with the same arguments goes on with it",
                       folder);
    }
    throw UsageError("'{}' is not a corpus: it has no {}; zoo lm prepare makes one", folder, corpus_file_name);
  }
  const JsonFile file(path, format, corpus_version);
  CorpusInfo info{file.text("tokenizer"), file.count("vocab_size"), file.text("command"), {}, file.text("hash")};
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    const std::string name(split_name(corpus_splits[i]));
    info.splits[i] = parse_split_info(file.object("splits").object(name.c_str()), corpus_splits[i]);
  }
  return info;
}

}  // namespace zoo
