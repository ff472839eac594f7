#include <gmock/gmock.h>

#include "tests/cli/command.h"
#include "zoo/core/random.h"
#include "zoo/text/byte_tokenizer.h"
#include "zoo/text/sentencepiece_tokenizer.h"
#include "zoo/text/tokenizer_file.h"
#include "zoo/text/train_bpe.h"
#include "zoo/text/utf8.h"

namespace zoo {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::string> some_lines() {
  return {"the quick brown fox jumps over the lazy dog",
          "the lazy dog sleeps, and the fox jumps again",
          "    if (quick) { jump(fox, dog); }",
          "    return over(the, lazy, dog);",
          "naïve café, résumé: the déjà vu of brown dogs",
          "over\tand over\tand over again"};
}

const SentencePieceTokenizer& bpe() {
  static const SentencePieceTokenizer tokenizer("bpe:340", ModelOrigin::trained, train_bpe(340, some_lines()), "bpe");
  return tokenizer;
}

std::vector<std::int32_t> encoded(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

std::vector<std::string> hostile_texts() {
  using namespace std::string_literals;
  return {"",
          " ",
          "      ",
          "\n",
          "\n\n\n",
          "a\r\nb\r\n",
          "\t\tindented\tby tabs \t ",
          "  two  spaces  everywhere  ",
          "the end of a line \n and a beginning",
          "\0"s,
          "a\0b\0\0c"s,
          "\x01\x02\x1B[0m\x7F",
          "emoji \U0001F600\U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA",
          "\u2581",
          "a\u2581b \u2581 c\u2581",
          "\u2581\u2581 \u2581",
          "\u2585 and \u2047",
          " \u2047 ",
          "\uFEFFbyte-order mark",
          "\uFFFD replaced",
          "\u00A0\u2003\u3000 spaces of other kinds\u2028\u2029\u0085",
          "e\u0301 is not \u00E9, \uFB01 is not fi, \u1E9B\u0323",
          "<s></s><unk><pad><0x41><0x0A>",
          "\u4E2D\u6587\u6CA1\u6709\u7A7A\u683C",
          "\U0010FFFF\U00010000\uD7FF\uE000",
          std::string(5000, 'a'),
          std::string(5000, ' '),
          std::string(5000, '\n')};
}

TEST(Tokenizer, AnyTextComesBackFromItsTokens) {
  const ByteTokenizer bytes;
  for (const Tokenizer* tokenizer : std::initializer_list<const Tokenizer*>{&bytes, &bpe()}) {
    for (const std::string& text : hostile_texts()) {
      const auto tokens = encoded(*tokenizer, text);
      EXPECT_EQ(tokenizer->decode(tokens), text) << tokenizer->name() << ": " << testing::PrintToString(text);
      EXPECT_THAT(tokens, testing::Each(testing::AllOf(testing::Ge(0), testing::Lt(tokenizer->vocab_size()),
                                                       testing::Ne(tokenizer->end_of_document()))));
    }
  }
}

TEST(Tokenizer, RandomCharactersComeBack) {
  RandomStream random(RandomKey::of(0, "tokenizer test"));
  const std::vector<std::string> alphabet = {" ",          " ", "\n", "\t", "the", "fox", "\u2581", "\u00E9",
                                             "\U0001F600", "x", "<",  ">",  "\r",  ".",   "0",      "\u0301"};
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::uint64_t i = random.below(40); i > 0; --i) text += alphabet[random.below(alphabet.size())];
    ASSERT_EQ(bpe().decode(encoded(bpe(), text)), text) << testing::PrintToString(text);
  }
}

TEST(Tokenizer, BytesAreTokensAndTheEndOfADocumentIsNoText) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(tokenizer.vocab_size(), 257);
  EXPECT_THAT(encoded(tokenizer, "a\u00E9"), testing::ElementsAre(0x61, 0xC3, 0xA9));
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{97, 256, 98}), "ab");
  const auto eod = bpe().end_of_document();
  std::vector<std::int32_t> tokens = encoded(bpe(), " fox");
  tokens.push_back(eod);
  bpe().encode(" dog", tokens);
  EXPECT_EQ(bpe().decode(tokens), " fox dog");
}

TEST(Tokenizer, UnknownTokensAreRefused) {
  const ByteTokenizer tokenizer;
  for (const std::int32_t token : {-1, 257, INT32_MAX}) {
    EXPECT_THAT([&] { tokenizer.decode({&token, 1}); }, ThrowsMessage<UsageError>(HasSubstr("is no token of byte")));
  }
  const std::int32_t token = 340;
  EXPECT_THAT([&] { bpe().decode({&token, 1}); }, ThrowsMessage<UsageError>(HasSubstr("0 to 339")));
}

TEST(Bpe, MergesAndHasTheSizeAskedFor) {
  EXPECT_EQ(bpe().vocab_size(), 340);
  EXPECT_LT(encoded(bpe(), "the lazy dog jumps over the fox").size(), 20U);
}

TEST(Bpe, IsTrainedAlikeTwice) {
  EXPECT_EQ(train_bpe(300, some_lines()), train_bpe(300, some_lines()));
}

// On this a corpus relies that cuts documents at these places.
TEST(Bpe, NoTokenCrossesALineEndOrTheBeginOfAWord) {
  for (const std::string text :
       {"the fox\nthe dog", "over\n\n    return over", "the quick brown fox", "a, \u00E9 b."}) {
    for (std::size_t at = 1; at < text.size(); ++at) {
      const bool line_end = text[at - 1] == '\n';
      const bool word = text[at] == ' ' && text[at - 1] != ' ';
      if (!line_end && !word) continue;
      auto parts = encoded(bpe(), text.substr(0, at));
      bpe().encode(std::string_view(text).substr(at), parts);
      EXPECT_EQ(parts, encoded(bpe(), text)) << text << " at " << at;
    }
  }
}

TEST(Bpe, SizesThatTheTextDoesNotAllowAreExplained) {
  EXPECT_THAT([] { train_bpe(270, some_lines()); }, ThrowsMessage<UsageError>(HasSubstr("too few pieces")));
  EXPECT_THAT([] { train_bpe(50000, some_lines()); }, ThrowsMessage<UsageError>(HasSubstr("give at most bpe:")));
  EXPECT_THAT([] { train_bpe(260, {"short"}); }, ThrowsMessage<UsageError>(HasSubstr("take 263")));
  EXPECT_THROW(train_bpe(300, {}), UsageError);
  EXPECT_THROW(train_bpe(300, {"\t"}), UsageError);
}

TEST(TokenizerFolder, IsLoadedAsItWasSaved) {
  const test::TemporaryDirectory folder;
  const ByteTokenizer bytes;
  for (const Tokenizer* tokenizer : std::initializer_list<const Tokenizer*>{&bytes, &bpe()}) {
    tokenizer->save(folder.path());
    const auto loaded = load_tokenizer(folder.path());
    EXPECT_EQ(loaded->name(), tokenizer->name());
    EXPECT_EQ(loaded->vocab_size(), tokenizer->vocab_size());
    EXPECT_EQ(loaded->end_of_document(), tokenizer->end_of_document());
    EXPECT_EQ(encoded(*loaded, "the caf\u00E9\u2581"), encoded(*tokenizer, "the caf\u00E9\u2581"));
  }
}

TEST(TokenizerFolder, DamageIsNamed) {
  const test::TemporaryDirectory folder;
  const auto load = [&] { load_tokenizer(folder.path()); };
  EXPECT_THAT(load, ThrowsMessage<UsageError>(HasSubstr("tokenizer.json")));
  bpe().save(folder.path());
  const std::string model = test::read_file(folder / tokenizer_model_name);
  test::write_file(folder / tokenizer_model_name, model.substr(0, model.size() / 2));
  EXPECT_THAT(load, ThrowsMessage<UsageError>(HasSubstr("tokenizer.model' is damaged")));
  std::filesystem::remove(folder / tokenizer_model_name);
  EXPECT_THAT(load, ThrowsMessage<UsageError>(HasSubstr("tokenizer.model")));
  const std::string good = test::read_file(folder / tokenizer_file_name);
  for (const std::string bad :
       {"", "{", "[]", "7", R"({"format": "zoo corpus", "version": 1})", R"({"format": "zoo tokenizer", "version": 1})",
        R"({"format": "zoo tokenizer", "version": 1, "type": 3})",
        R"({"format": "zoo tokenizer", "version": 1, "type": "words"})",
        R"({"format": "zoo tokenizer", "version": 2, "type": "byte"})"}) {
    test::write_file(folder / tokenizer_file_name, bad);
    EXPECT_THAT(load, ThrowsMessage<UsageError>(HasSubstr("tokenizer.json"))) << bad;
  }
  test::write_file(folder / tokenizer_file_name, std::string(100000, '['));
  EXPECT_THAT(load, ThrowsMessage<UsageError>(HasSubstr("tokenizer.json")));
}

TEST(SentencePiece, WhatIsNoModelIsRefused) {
  for (const std::string& bad :
       {std::string(), std::string(100, '\0'), std::string("not a model"), bpe().model().substr(0, 3000)}) {
    EXPECT_THAT([&] { SentencePieceTokenizer("x", ModelOrigin::given, bad, "my.model"); },
                ThrowsMessage<UsageError>(HasSubstr("'my.model' is not a SentencePiece model")));
  }
}

TEST(Utf8, TheFirstInvalidByteIsFound) {
  using namespace std::string_literals;
  for (const std::string& text : hostile_texts()) EXPECT_EQ(valid_utf8_prefix(text), text.size());
  // Unicode 15, table 3-7: overlong forms, surrogates, beyond U+10FFFF, lone continuations, cut sequences.
  for (const std::string& bad : {"\xC0\x80"s, "\xC1\xBF"s, "\xE0\x9F\xBF"s, "\xED\xA0\x80"s, "\xF0\x8F\xBF\xBF"s,
                                 "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s, "\x80"s, "\xFF"s, "\xFE"s, "\xC3"s,
                                 "\xE2\x82"s, "\xF0\x9F\x98"s, "\xC3("s, "\xE2\x82("s, "\xE2(\xA1"s}) {
    for (const std::string& before : {""s, "a"s, "ascii for more than eight bytes"s, "\u00E9\U0001F600"s}) {
      for (const std::string& after : {""s, "z"s, "and more than eight bytes after"s}) {
        EXPECT_EQ(valid_utf8_prefix(before + bad + after), before.size()) << testing::PrintToString(before + bad);
        std::string repaired;
        append_repaired_utf8(before + bad + after, repaired);
        EXPECT_EQ(valid_utf8_prefix(repaired), repaired.size());
        EXPECT_THAT(repaired, testing::AllOf(testing::StartsWith(before + "\uFFFD"), testing::EndsWith(after)));
      }
    }
  }
}

}  // namespace
}  // namespace zoo
