#include "zoo/text/documents.h"

#include <gmock/gmock.h>

#include "tests/cli/command.h"
#include "zoo/core/random.h"
#include "zoo/text/document_split.h"

namespace zoo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

struct OwnedPiece {
  std::string bytes;
  TextPosition begin;
  bool ends_document;
  TextPosition end;

  bool operator==(const OwnedPiece&) const = default;
};

class Documents : public testing::Test {
 protected:
  std::string file(const std::string& content) {
    files_.push_back(folder_ / std::to_string(files_.size()));
    test::write_file(files_.back(), content);
    return files_.back();
  }

  std::vector<OwnedPiece> pieces(const DocumentReader::Settings& settings, const TextPosition& begin = {}) const {
    DocumentReader reader(files_, settings, begin);
    std::vector<OwnedPiece> all;
    for (Piece piece; reader.next(piece);) {
      all.push_back({std::string(piece.bytes), piece.begin, piece.ends_document, reader.position()});
    }
    return all;
  }

  std::vector<std::string> documents(const DocumentReader::Settings& settings) const {
    std::vector<std::string> all;
    bool is_begun = false;
    for (const OwnedPiece& piece : pieces(settings)) {
      if (!is_begun) all.emplace_back();
      EXPECT_EQ(piece.begin.document, std::ssize(all) - 1);
      all.back() += piece.bytes;
      is_begun = !piece.ends_document;
    }
    EXPECT_FALSE(is_begun);
    return all;
  }

  test::TemporaryDirectory folder_;
  std::vector<std::string> files_;
};

TEST_F(Documents, AFileIsADocumentAndAnEmptyOneIsNone) {
  file("one\n");
  file("");
  file("two, without a line end");
  file("");
  EXPECT_THAT(documents({}), ElementsAre("one\n", "two, without a line end"));
}

TEST_F(Documents, ASeparatorIsALineOfItsOwn) {
  file("one\n<end>\n<end>\ntwo\n <end>\n<end> \n<end><end>\nx<end>\n<end>\r\n<end>");
  file("<end>\nthree\r\n<end>\r\nfour\n<end>\r");
  file("<end>");
  file("<en");
  EXPECT_THAT(documents({.separator = "<end>"}),
              ElementsAre("one\n", "two\n <end>\n<end> \n<end><end>\nx<end>\n", "three\r\n", "four\n", "<en"));
}

TEST_F(Documents, PiecesEndAtLinesOrBeforeWordsOrBetweenCharacters) {
  file("ab\ncd\nefgh ijkl mnop\u00E9\u00E9\u00E9\u00E9\u00E9\u00E9       x");
  std::vector<std::string> cut;
  for (const OwnedPiece& piece : pieces({.separator = {}, .piece_bytes = 8})) cut.push_back(piece.bytes);
  EXPECT_THAT(
      cut, ElementsAre("ab\ncd\n", "efgh", " ijkl", " mnop\u00E9", "\u00E9\u00E9\u00E9\u00E9", "\u00E9", "       x"));
}

TEST_F(Documents, NeitherBlocksNorTheBeginChangeAnything) {
  RandomStream random(RandomKey::of(0, "documents test"));
  const std::vector<std::string> alphabet = {"\n",         "\n",   " ",      "a", "b", "\u00E9",
                                             "\U0001F600", "--\n", "\n--\n", "-", "\r"};
  for (int n = 0; n < 4; ++n) {
    std::string content;
    for (int i = 0; i < 120; ++i) content += alphabet[random.below(alphabet.size())];
    file(content);
  }
  for (const std::size_t piece_bytes : {4, 9, 40, 100000}) {
    for (const std::optional<std::string>& separator :
         {std::optional<std::string>(), std::optional<std::string>("--")}) {
      const auto whole = pieces({.separator = separator, .piece_bytes = piece_bytes});
      for (const std::size_t block : {1, 2, 3, 7, 64}) {
        ASSERT_EQ(pieces({.separator = separator, .piece_bytes = piece_bytes, .block_bytes = block}), whole) << block;
      }
      for (std::size_t i = 0; i < whole.size(); ++i) {
        const auto rest = pieces({.separator = separator, .piece_bytes = piece_bytes, .block_bytes = 5}, whole[i].end);
        ASSERT_EQ(rest, std::vector<OwnedPiece>(whole.begin() + static_cast<std::ptrdiff_t>(i) + 1, whole.end())) << i;
      }
    }
  }
}

TEST_F(Documents, WhatIsNoRegularFileIsRefused) {
  const auto read = [](const std::string& path) { DocumentReader({path}, {}); };
  EXPECT_THAT([&] { read(folder_ / "none"); }, ThrowsMessage<UsageError>(HasSubstr("No such file")));
  EXPECT_THAT([&] { read(folder_.path()); }, ThrowsMessage<UsageError>(HasSubstr("it is a folder")));
  EXPECT_THAT([&] { read("/dev/null"); }, ThrowsMessage<UsageError>(HasSubstr("not a regular file")));
}

std::int64_t validation_documents(const DocumentSplit& split, std::int64_t documents) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < documents; ++i) count += split.of(i) == Split::validation ? 1 : 0;
  return count;
}

TEST(DocumentSplit, HasBothSplitsOfTwoDocumentsOrMore) {
  for (std::int64_t documents = 2; documents < 30; ++documents) {
    for (const double fraction : {1e-9, 0.05, 0.5, 0.999999}) {
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const std::int64_t count = validation_documents(DocumentSplit(fraction, seed, documents), documents);
        ASSERT_GE(count, 1);
        ASSERT_LT(count, documents);
      }
    }
    EXPECT_EQ(validation_documents(DocumentSplit(0, 0, documents), documents), 0);
  }
}

TEST(DocumentSplit, TakesTheFractionAskedForBySeed) {
  constexpr std::int64_t documents = 20000;
  const DocumentSplit split(0.05, 0, documents);
  // Binomial: five standard deviations of sqrt(20000 * 0.05 * 0.95) = 31.
  EXPECT_NEAR(validation_documents(split, documents), 1000, 155);
  std::int64_t both = 0;
  const DocumentSplit other(0.05, 1, documents);
  for (std::int64_t i = 0; i < documents; ++i) {
    both += split.of(i) == Split::validation && other.of(i) == Split::validation ? 1 : 0;
  }
  // Independent: 0.0025 of them; five standard deviations of 7.1.
  EXPECT_NEAR(both, 50, 36);
}

}  // namespace
}  // namespace zoo
