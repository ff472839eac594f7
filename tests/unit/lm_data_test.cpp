#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/unit/lm_testing.h"
#include "zoo/core/error.h"
#include "zoo/lm/evaluation.h"
#include "zoo/lm/sequences.h"

namespace zoo::test {
namespace {

TEST(Sequences, CutTheSplitIntoNeighboursThatShareAToken) {
  const TemporaryDirectory directory;
  const Corpus corpus = small_corpus(directory);
  constexpr std::int64_t T = 24;
  const Sequences sequences(corpus, Split::train, T);
  EXPECT_EQ(sequences.count(), (corpus.tokens(Split::train) - 1) / T);
  std::vector<std::int32_t> all(static_cast<std::size_t>(sequences.count() * T + 1));
  corpus.read(Split::train, 0, all);
  std::vector<std::int32_t> tokens(T + 1);
  for (std::int64_t i = 0; i < sequences.count(); ++i) {
    sequences.read(i, tokens);
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), all.begin() + i * T));
  }
}

TEST(Sequences, OfMoreTokensThanThereAreAreRefused) {
  const TemporaryDirectory directory;
  const Corpus corpus = small_corpus(directory);
  EXPECT_NO_THROW(Sequences(corpus, Split::train, corpus.tokens(Split::train) - 1));
  EXPECT_THROW(Sequences(corpus, Split::train, corpus.tokens(Split::train)), UsageError);
}

TEST(DataOrder, ShowsEverySequenceOnceAnEpochAndDependsOnTheSeedAlone) {
  constexpr std::int64_t sequences = 37;
  DataOrder order(5, sequences), same(5, sequences), other(6, sequences);
  std::vector<std::int64_t> first;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < sequences; ++i) {
      first.push_back(order.at(epoch * sequences + i));
      seen.insert(first.back());
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(sequences));
  }
  // Read from anywhere, as after a pause.
  for (std::int64_t i = 3 * sequences - 1; i >= 0; i -= 7) EXPECT_EQ(same.at(i), first[static_cast<std::size_t>(i)]);
  std::vector<std::int64_t> second(first.begin() + sequences, first.begin() + 2 * sequences);
  EXPECT_FALSE(std::equal(second.begin(), second.end(), first.begin()));
  int equal = 0;
  for (std::int64_t i = 0; i < sequences; ++i) equal += other.at(i) == first[static_cast<std::size_t>(i)];
  EXPECT_LT(equal, sequences / 2);
}

TEST(HashSequence, DependsOnEveryTokenAndOnThePlace) {
  const std::vector<std::int32_t> tokens = {1, 2, 3};
  EXPECT_EQ(hash_sequence(tokens, 4), hash_sequence(tokens, 4));
  EXPECT_NE(hash_sequence(tokens, 4), hash_sequence(tokens, 5));
  EXPECT_NE(hash_sequence(tokens, 4), hash_sequence(std::vector<std::int32_t>{1, 2, 4}, 4));
}

// What the definition says, word by word.
std::vector<std::uint8_t> recall_by_definition(const Corpus& corpus, const std::vector<std::int32_t>& tokens,
                                               std::int64_t frequent) {
  std::vector<std::int32_t> train(static_cast<std::size_t>(corpus.tokens(Split::train)));
  corpus.read(Split::train, 0, train);
  std::vector<std::uint8_t> asks;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    bool earlier = false;
    for (std::size_t j = 0; j < i; ++j) earlier |= tokens[j] == tokens[i] && tokens[j + 1] == tokens[i + 1];
    std::int64_t count = 0;
    for (std::size_t j = 0; j + 1 < train.size(); ++j) count += train[j] == tokens[i] && train[j + 1] == tokens[i + 1];
    asks.push_back(earlier && count <= frequent ? 1 : 0);
  }
  return asks;
}

TEST(RecallTokens, CompleteABigramOfTheContextThatTrainingHardlyShowed) {
  const TemporaryDirectory directory;
  const Corpus corpus = small_corpus(directory);
  const Sequences sequences(corpus, Split::validation, 200);
  std::vector<std::int32_t> tokens(201);
  sequences.read(1, tokens);
  std::int64_t marked = 0;
  for (const std::int64_t frequent : {0, 40, 1250}) {
    const RecallTokens recall(corpus, frequent);
    std::vector<std::uint8_t> asks(200);
    recall.mark(tokens, asks);
    EXPECT_EQ(asks, recall_by_definition(corpus, tokens, frequent)) << frequent;
    const std::int64_t now = std::accumulate(asks.begin(), asks.end(), std::int64_t{0});
    EXPECT_GE(now, marked);
    marked = now;
  }
  EXPECT_GT(marked, 100);
}

TEST(LmResult, HasThePerplexityOfTheMeanLossAndItsInterval) {
  LmScores scores;
  for (const double loss : {1.0, 2.0, 3.0}) {
    scores.all.add(loss);
    scores.sequence_losses.push_back(loss);
  }
  scores.positions.resize(2);
  scores.positions[0].add(1);
  scores.positions[1].add(2.5);
  const SliceResult result = lm_result(scores, 4, 100);
  EXPECT_DOUBLE_EQ(result.metrics.at("perplexity"), std::exp(2.0));
  // t(0.975, 2) = 4.302652..., s = 1.
  const double half = 4.302652729911275 / std::sqrt(3.0);
  EXPECT_NEAR(result.metrics.at("perplexity_interval")[0].get<double>(), std::exp(2 - half), 1e-9);
  EXPECT_NEAR(result.metrics.at("perplexity_interval")[1].get<double>(), std::exp(2 + half), 1e-6);
  EXPECT_EQ(result.metrics.at("positions")[0].at("from"), 0);
  EXPECT_EQ(result.metrics.at("positions")[0].at("to"), 1);
  EXPECT_EQ(result.metrics.at("positions")[1].at("from"), 2);
  EXPECT_EQ(result.metrics.at("positions")[1].at("to"), 3);
}

}  // namespace
}  // namespace zoo::test
