#include "zoo/text/corpus.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/text/corpus_file.h"
#include "zoo/text/shard.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

struct Corpus::Impl {
  std::string folder;
  CorpusInfo info;
  std::unique_ptr<Tokenizer> tokenizer;
  struct Shards {
    std::vector<Shard> files;
    std::vector<std::int64_t> begins;  // the first token of each, in the split
  };
  std::array<Shards, 2> shards;  // as in corpus_splits

  // Among corpus_splits, which Split::test is not of.
  static std::size_t index(Split split) {
    return static_cast<std::size_t>(std::ranges::find(corpus_splits, split) - corpus_splits.begin());
  }
  const SplitInfo& split(Split which) const {
    static const SplitInfo none;
    return which == Split::test ? none : info.splits[index(which)];
  }
};

Corpus::Corpus(const std::string& folder) : impl_(std::make_unique<Impl>()) {
  impl_->folder = folder;
  impl_->info = read_corpus_file(folder);
  const CorpusInfo& info = impl_->info;
  impl_->tokenizer = load_tokenizer(folder);
  if (impl_->tokenizer->vocab_size() != info.vocab_size || corpus_hash(tokenizer_digest(folder), info) != info.hash) {
    throw UsageError("'{}' is damaged: its tokenizer or its list of shards is not that it was made with; make it again",
                     folder);
  }
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    std::int64_t begin = 0;
    for (const ShardInfo& shard : info.splits[i].shards) {
      Impl::Shards& shards = impl_->shards[i];
      shards.begins.push_back(begin);
      shards.files.emplace_back(folder + "/" + shard_name(corpus_splits[i], shards.files.size()),
                                token_bytes(info.vocab_size), shard);
      begin += shard.tokens;
    }
  }
}

Corpus::~Corpus() = default;
Corpus::Corpus(Corpus&&) noexcept = default;
Corpus& Corpus::operator=(Corpus&&) noexcept = default;

const std::string& Corpus::hash() const {
  return impl_->info.hash;
}
const Tokenizer& Corpus::tokenizer() const {
  return *impl_->tokenizer;
}
std::int64_t Corpus::tokens(Split split) const {
  return impl_->split(split).tokens;
}
std::int64_t Corpus::documents(Split split) const {
  return impl_->split(split).documents;
}
std::int64_t Corpus::bytes(Split split) const {
  return impl_->split(split).bytes;
}

void Corpus::read(Split split, std::int64_t begin, std::span<std::int32_t> out) const {
  const std::int64_t all = tokens(split);
  if (begin < 0 || begin > all || std::ssize(out) > all - begin) {
    throw Error("{} tokens from {} on of the {} split of '{}' were asked for, which has {}", out.size(), begin,
                split_name(split), impl_->folder, all);
  }
  if (out.empty()) return;
  const Impl::Shards& shards = impl_->shards[Impl::index(split)];
  auto shard = static_cast<std::size_t>(std::ranges::upper_bound(shards.begins, begin) - shards.begins.begin()) - 1;
  while (!out.empty()) {
    const std::int64_t within = begin - shards.begins[shard];
    const auto count =
        static_cast<std::size_t>(std::min<std::int64_t>(shards.files[shard].tokens() - within, std::ssize(out)));
    shards.files[shard].read(within, impl_->info.vocab_size, out.first(count));
    out = out.subspan(count);
    begin += static_cast<std::int64_t>(count);
    ++shard;
  }
}

void Corpus::verify() const {
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    std::int64_t documents = 0;
    std::vector<std::int32_t> block(std::size_t{1} << 16);
    for (const Shard& shard : impl_->shards[i].files) {
      shard.verify();
      for (std::int64_t begin = 0; begin < shard.tokens(); begin += std::ssize(block)) {
        const std::span<std::int32_t> part =
            std::span(block).first(static_cast<std::size_t>(std::min(std::ssize(block), shard.tokens() - begin)));
        shard.read(begin, impl_->info.vocab_size, part);
        documents += std::ranges::count(part, impl_->tokenizer->end_of_document());
      }
    }
    if (documents != impl_->info.splits[i].documents) {
      throw UsageError("'{}' is damaged: its {} shards have {} ends of documents, and {} has {} documents",
                       impl_->folder, split_name(corpus_splits[i]), documents, corpus_file_name,
                       impl_->info.splits[i].documents);
    }
  }
}

}  // namespace zoo
