#include "zoo/text/corpus.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/cli/command.h"
#include "zoo/text/prepare.h"
#include "zoo/text/shard.h"

namespace zoo {
namespace {

namespace fs = std::filesystem;

using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::int32_t> all_tokens(const Corpus& corpus, Split split) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(corpus.tokens(split)));
  corpus.read(split, 0, tokens);
  return tokens;
}

std::map<std::string, std::string> content(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename().string()] = test::read_file(entry.path());
  }
  return files;
}

class CorpusTest : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    if (!fs::exists(folder_ / name) || test::read_file(folder_ / name) != text) test::write_file(folder_ / name, text);
    return folder_ / name;
  }
  PrepareSettings settings(const std::vector<std::string>& files, const std::string& out = "corpus") const {
    PrepareSettings made;
    made.text.files = files;
    made.tokenizer = "byte";
    made.out = folder_ / out;
    made.command = "test";
    return made;
  }

  test::TemporaryDirectory folder_;
};

TEST_F(CorpusTest, HoldsEveryDocumentOnceAndEndsIt) {
  std::vector<std::string> files;
  for (int i = 0; i < 40; ++i) {
    files.push_back(file(std::to_string(i), "document " + std::to_string(i) + (i % 2 == 0 ? "\n" : "")));
  }
  PrepareSettings made = settings(files);
  made.validation = 0.3;
  ASSERT_EQ(prepare_corpus(made).outcome, PrepareOutcome::made);
  const Corpus corpus(made.out);
  corpus.verify();
  std::multiset<std::string> found;
  std::int64_t documents = 0;
  for (const Split split : {Split::train, Split::validation}) {
    EXPECT_GT(corpus.documents(split), 0);
    EXPECT_EQ(corpus.tokens(split), corpus.bytes(split) + corpus.documents(split));
    documents += corpus.documents(split);
    std::vector<std::int32_t> document;
    for (const std::int32_t token : all_tokens(corpus, split)) {
      if (token == corpus.tokenizer().end_of_document()) {
        found.insert(corpus.tokenizer().decode(document));
        document.clear();
      } else {
        document.push_back(token);
      }
    }
    EXPECT_TRUE(document.empty());
  }
  std::multiset<std::string> given;
  for (const std::string& path : files) given.insert(test::read_file(path));
  EXPECT_EQ(found, given);
  EXPECT_EQ(documents, 40);
  EXPECT_EQ(corpus.tokens(Split::test), 0);
}

TEST_F(CorpusTest, ASingleDocumentIsSplitAtALineEnd) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "line " + std::to_string(i) + "\n";
  const std::string path = file("text", text);
  for (const double fraction : {0.05, 0.5, 0.0001}) {
    PrepareSettings made = settings({path}, std::to_string(fraction));
    made.validation = fraction;
    prepare_corpus(made);
    const Corpus corpus(made.out);
    const std::string train = corpus.tokenizer().decode(all_tokens(corpus, Split::train));
    const std::string validation = corpus.tokenizer().decode(all_tokens(corpus, Split::validation));
    EXPECT_EQ(train + validation, text);
    EXPECT_THAT(train, testing::EndsWith("\n"));
    const double wanted = fraction * static_cast<double>(text.size());
    EXPECT_NEAR(static_cast<double>(validation.size()), wanted, 11);  // the longest line's bytes
    EXPECT_EQ(corpus.documents(Split::train), 1);
    EXPECT_EQ(corpus.documents(Split::validation), 1);
  }
}

TEST_F(CorpusTest, ASingleDocumentOfAnyFormIsSplit) {
  int number = 0;
  for (const std::string text :
       {"eight ch", "\n\n\n\n\n\n\n\n", "one line only, of some words\n", "\u00E9\u00E9\u00E9\u00E9\u00E9\u00E9",
        "\U0001F600\U0001F600", "        x", "no_words_at_all_here", "\n_____________", "_____________\n"}) {
    for (const double fraction : {0.001, 0.5, 0.999}) {
      PrepareSettings made = settings({file("text", text)}, std::to_string(number++));
      made.validation = fraction;
      prepare_corpus(made);
      const Corpus corpus(made.out);
      corpus.verify();
      const std::string train = corpus.tokenizer().decode(all_tokens(corpus, Split::train));
      const std::string validation = corpus.tokenizer().decode(all_tokens(corpus, Split::validation));
      EXPECT_EQ(train + validation, text);
      EXPECT_FALSE(train.empty()) << text << fraction;
      EXPECT_FALSE(validation.empty()) << text << fraction;
      EXPECT_NE(static_cast<unsigned char>(validation[0]) & 0xC0, 0x80) << text << fraction;
    }
  }
}

TEST_F(CorpusTest, ReadsAcrossShards) {
  const std::string path = file("text", "0123456789abcdefghijklmnopqrstuvwxyz");
  PrepareSettings whole = settings({path}, "whole");
  whole.validation = 0;
  prepare_corpus(whole);
  PrepareSettings parts = settings({path}, "parts");
  parts.validation = 0;
  parts.shard_tokens = 5;
  prepare_corpus(parts);
  const Corpus one(whole.out);
  const Corpus many(parts.out);
  const auto expected = all_tokens(one, Split::train);
  ASSERT_EQ(many.tokens(Split::train), 37);
  for (std::int64_t begin = 0; begin <= 37; ++begin) {
    for (std::int64_t size = 0; begin + size <= 37; ++size) {
      std::vector<std::int32_t> out(static_cast<std::size_t>(size), -1);
      many.read(Split::train, begin, out);
      ASSERT_TRUE(std::equal(out.begin(), out.end(), expected.begin() + begin));
    }
  }
  std::vector<std::int32_t> out(2);
  for (const std::int64_t begin : {std::int64_t{-1}, std::int64_t{36}, INT64_MAX}) {
    EXPECT_THROW(many.read(Split::train, begin, out), Error) << begin;
  }
  EXPECT_THROW(many.read(Split::validation, 0, out), Error);
}

// 10,000 documents make a few blocks of text, after each of which the work ends once as by a kill.
class Resumed : public CorpusTest {
 protected:
  PrepareSettings many(const std::string& out, const std::string& tokenizer) {
    std::string text;
    for (int i = 0; i < 10000; ++i) text += "document " + std::to_string(i) + "\nof two lines\n--\n";
    PrepareSettings made = settings({file("a", text), file("b", text + "\xFF\n")}, out);
    made.text.separator = "--";
    made.text.lossy = true;
    made.tokenizer = tokenizer;
    made.shard_tokens = 150000;
    made.save_seconds = 0;
    return made;
  }
};

struct Killed {};

TEST_F(Resumed, EndsWithTheSameFiles) {
  for (const std::string tokenizer : {"byte", "bpe:300"}) {
    const PrepareSettings whole = many("whole " + tokenizer, tokenizer);
    std::vector<std::string> snapshots;
    int blocks = 0;
    prepare_corpus(whole, {.progress = [&](std::string_view stage, std::int64_t, std::int64_t) {
                     const std::string progress = whole.out + "/progress.json";
                     if (stage == "encoding" && fs::exists(progress)) snapshots.push_back(test::read_file(progress));
                     blocks += stage == "encoding" ? 1 : 0;
                   }});
    ASSERT_GE(blocks, 4);
    const auto expected = content(whole.out);
    EXPECT_FALSE(expected.contains("progress.json"));

    const PrepareSettings part = many("part " + tokenizer, tokenizer);
    int kills = 0;
    for (;;) {
      int calls = 0;
      try {
        // The first call comes before any block, the second after one that is not saved yet, the third ends this try.
        prepare_corpus(part, {.progress = [&](std::string_view stage, std::int64_t, std::int64_t) {
                         if (stage == "encoding" && ++calls == 3) throw Killed();
                       }});
        break;
      } catch (const Killed&) {
        ++kills;
        test::write_file(part.out + "/.zoo-1-1.tmp", "what a killed process left");
        EXPECT_THAT([&] { Corpus(part.out); }, ThrowsMessage<UsageError>(HasSubstr("is not finished")));
      }
    }
    EXPECT_GE(kills, 2);
    EXPECT_EQ(content(part.out), expected);

    // Shards that were finished after the last note of progress: at worst all of them.
    for (const std::string& snapshot : {snapshots.front(), snapshots.back()}) {
      fs::remove(part.out + "/corpus.json");
      test::write_file(part.out + "/progress.json", snapshot);
      EXPECT_EQ(prepare_corpus(part).outcome, PrepareOutcome::made);
      EXPECT_EQ(content(part.out), expected);
    }
  }
}

TEST_F(Resumed, AfterAStopToo) {
  const PrepareSettings whole = many("whole", "byte");
  prepare_corpus(whole);
  const PrepareSettings part = many("part", "byte");
  int stops = 0;
  while (prepare_corpus(part, {.stop = [] { return true; }}).outcome == PrepareOutcome::stopped) ++stops;
  EXPECT_GE(stops, 2);
  EXPECT_EQ(content(part.out), content(whole.out));
  EXPECT_EQ(prepare_corpus(part).outcome, PrepareOutcome::was_there);
}

class Damaged : public CorpusTest {
 protected:
  Damaged() {
    PrepareSettings made = settings({file("text", "some text\nof a few lines\nto be damaged\n")});
    made.shard_tokens = 20;
    prepare_corpus(made);
    out_ = made.out;
  }
  void expect(const std::string& words) const {
    EXPECT_THAT([&] { Corpus{out_}; }, ThrowsMessage<UsageError>(HasSubstr(words)));
  }

  std::string out_;
};

TEST_F(Damaged, ShardsAreNamed) {
  const std::string shard = out_ + "/train-00001.tokens";
  const std::string good = test::read_file(shard);
  for (const std::size_t length : {std::size_t{0}, std::size_t{10}, std::size_t{64}, good.size() - 1}) {
    test::write_file(shard, good.substr(0, length));
    expect("train-00001.tokens' is damaged: it has " + std::to_string(length) + " bytes");
  }
  test::write_file(shard, good + "x");
  expect("train-00001.tokens' is damaged");
  for (std::size_t at = 0; at < sizeof(ShardHeader); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    test::write_file(shard, bad);
    expect("train-00001.tokens'");
  }
  fs::remove(shard);
  expect("train-00001.tokens': No such file");
  fs::create_directory(shard);
  expect("train-00001.tokens' is damaged: it is not a regular file");
}

TEST_F(Damaged, AShardThatIsCutWhileItIsOpenIsNamed) {
  const Corpus corpus(out_);
  const std::size_t half = sizeof(ShardHeader) + 10;
  fs::resize_file(out_ + "/train-00001.tokens", half);
  const std::string problem = "train-00001.tokens' is damaged: it has " + std::to_string(half) + " bytes";
  EXPECT_THAT([&] { all_tokens(corpus, Split::train); }, ThrowsMessage<UsageError>(HasSubstr(problem)));
  EXPECT_THAT([&] { corpus.verify(); }, ThrowsMessage<UsageError>(HasSubstr(problem)));
}

TEST_F(Damaged, TokensAreFoundByVerifyingAndNeverBeyondTheVocabulary) {
  const std::string shard = out_ + "/train-00000.tokens";
  std::string bad = test::read_file(shard);
  bad[sizeof(ShardHeader)] = 'X';
  test::write_file(shard, bad);
  EXPECT_THAT([&] { Corpus(out_).verify(); }, ThrowsMessage<UsageError>(HasSubstr("train-00000.tokens' is damaged")));
  bad[sizeof(ShardHeader) + 1] = 2;
  test::write_file(shard, bad);
  EXPECT_THAT([&] { all_tokens(Corpus(out_), Split::train); },
              ThrowsMessage<UsageError>(HasSubstr("of a vocabulary of 257")));
}

TEST_F(Damaged, TheListIsCheckedAsItIsRead) {
  const std::string path = out_ + "/corpus.json";
  const auto good = nlohmann::json::parse(test::read_file(path));
  const auto expect_refused = [&](const nlohmann::json& bad) {
    test::write_file(path, bad.dump());
    EXPECT_THROW(Corpus{out_}, UsageError) << bad;
  };
  // Each value there is, missing or replaced by others.
  const nlohmann::json flat = good.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (pointer == "/command" || pointer == "/token_bytes" || pointer.ends_with("/documents") ||
        pointer.ends_with("/bytes") || pointer == "/tokenizer") {
      continue;  // told to people, or checked by verify() alone
    }
    for (const nlohmann::json& other : {nlohmann::json(), nlohmann::json(-1), nlohmann::json(1.5),
                                        nlohmann::json("../x"), nlohmann::json(UINT64_MAX), nlohmann::json(1 << 30)}) {
      if (other == value) continue;
      nlohmann::json bad = good;
      bad[nlohmann::json::json_pointer(pointer)] = other;
      expect_refused(bad);
    }
  }
  for (const char* name : {"format", "version", "tokenizer", "vocab_size", "command", "splits", "hash"}) {
    nlohmann::json bad = good;
    bad.erase(name);
    expect_refused(bad);
  }
  const std::string text = good.dump();
  for (std::size_t length = 0; length < text.size(); length += 7) {
    test::write_file(path, text.substr(0, length));
    EXPECT_THROW(Corpus{out_}, UsageError);
  }
}

TEST_F(Damaged, ANewerVersionIsSaidToBe) {
  auto corpus = nlohmann::json::parse(test::read_file(out_ + "/corpus.json"));
  corpus["version"] = 2;
  test::write_file(out_ + "/corpus.json", corpus.dump());
  expect("use a newer zoo");
}

TEST_F(CorpusTest, WhatIsNoCorpusIsRefused) {
  EXPECT_THAT([&] { Corpus(folder_ / "none"); }, ThrowsMessage<UsageError>(HasSubstr("there is no folder")));
  EXPECT_THAT([&] { Corpus(folder_.path()); }, ThrowsMessage<UsageError>(HasSubstr("is not a corpus")));
}

TEST_F(CorpusTest, TheHashIsOfTokensAndTokenizer) {
  const auto hash = [&](const std::string& text, const std::string& tokenizer, const std::string& out) {
    PrepareSettings made = settings({file("text", text)}, out);
    made.tokenizer = tokenizer;
    prepare_corpus(made);
    return Corpus(made.out).hash();
  };
  const std::string text = "some text that is here\nand some more of it\n";
  const std::string first = hash(text, "byte", "a");
  EXPECT_EQ(hash(text, "byte", "b"), first);
  EXPECT_NE(hash(text + " ", "byte", "c"), first);
  EXPECT_NE(hash(text, "bpe:280", "d"), first);
}

}  // namespace
}  // namespace zoo
