// libFuzzer on what Corpus reads: an input is corpus.json, a zero byte, and a shard's file. Nothing but UsageError may
// come of it. Built with -D ZOO_FUZZ=ON by clang; run as
//
//     zoo_corpus_fuzzer -max_total_time=600 FOLDER_OF_INPUTS

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/text/byte_tokenizer.h"
#include "zoo/text/corpus.h"
#include "zoo/text/corpus_file.h"
#include "zoo/text/tokenizer_file.h"

namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

const fs::path& folder() {
  static const fs::path path = [] {
    const fs::path made = fs::temp_directory_path() / ("zoo-corpus-fuzzer-" + std::to_string(::getpid()));
    fs::create_directories(made);
    zoo::ByteTokenizer().save(made.string());
    return made;
  }();
  return path;
}

void read_all(const zoo::Corpus& corpus) {
  for (const zoo::Split split : zoo::corpus_splits) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(corpus.tokens(split)));
    corpus.read(split, 0, tokens);
  }
  corpus.verify();
}

// Its header made right for a list that names it, so that what follows the header's check is reached too.
zoo::ShardInfo mend(std::string& shard) {
  zoo::ShardHeader header;
  header.tokens = (shard.size() - sizeof header) / header.token_bytes;
  if (shard.size() % 3 == 0) header.hash = shard.size();
  shard.replace(0, sizeof header, reinterpret_cast<const char*>(&header), sizeof header);
  return {static_cast<std::int64_t>(header.tokens), header.hash};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string_view list = input.substr(0, end);
  std::string shard(end == std::string_view::npos ? "" : input.substr(end + 1));
  write(folder() / zoo::corpus_file_name, list);
  write(folder() / "train-00000.tokens", shard);
  zoo::CorpusInfo info;
  try {
    info = zoo::read_corpus_file(folder().string());
    // What was read is written and read again as the same.
    zoo::write_corpus_file(folder().string(), info);
    if (!(zoo::read_corpus_file(folder().string()) == info)) std::abort();
    read_all(zoo::Corpus(folder().string()));
  } catch (const zoo::UsageError&) {
  }
  // The same with a hash that fits, which no input has by chance.
  try {
    if (shard.size() > sizeof(zoo::ShardHeader)) {
      const zoo::ShardInfo only = mend(shard);
      write(folder() / "train-00000.tokens", shard);
      info.splits[0].shards = {only};
      info.splits[0].tokens = only.tokens;
    }
    info.splits[1] = {};
    info.vocab_size = 257;
    info.hash = zoo::corpus_hash(zoo::tokenizer_digest(folder().string()), info);
    zoo::write_corpus_file(folder().string(), info);
    read_all(zoo::Corpus(folder().string()));
  } catch (const zoo::UsageError&) {
  }
  return 0;
}
