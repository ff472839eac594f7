#include "zoo/core/batch.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"

namespace zoo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Example i is i, i+1, i+2, ...; the positions divisible by i+1 are labelled with the token after.
class Counting final : public Task {
 public:
  explicit Counting(std::int64_t length = 4, std::int64_t vocab = 100) : length_(length), vocab_(vocab) {}
  void generate(Split, std::uint64_t, std::uint64_t index, Example& example) const override {
    example.tokens.resize(static_cast<std::size_t>(length_));
    example.labels.assign(static_cast<std::size_t>(length_), unlabelled);
    for (std::size_t t = 0; t < example.tokens.size(); ++t) {
      example.tokens[t] = static_cast<std::int32_t>(index + t);
      if (t % (index + 1) == 0) example.labels[t] = example.tokens[t] + 1;
    }
  }
  std::int64_t vocab_size() const override { return vocab_; }
  std::int64_t seq_len() const override { return 4; }
  std::vector<Slice> slices() const override { return {}; }
  std::string describe(const Example&) const override { return "counting"; }

 private:
  std::int64_t length_, vocab_;
};

TEST(Batch, PicksOutTheLabelledRows) {
  Batch batch;
  const std::uint64_t indices[] = {2, 0, 9};
  fill_batch(Counting(), Split::train, 0, indices, batch);
  EXPECT_EQ(batch.batch, 3);
  EXPECT_EQ(batch.seq_len, 4);
  EXPECT_THAT(batch.tokens, ElementsAre(2, 3, 4, 5, 0, 1, 2, 3, 9, 10, 11, 12));
  EXPECT_THAT(batch.labels, ElementsAre(3, -100, -100, 6, 1, 2, 3, 4, 10, -100, -100, -100));
  EXPECT_THAT(batch.rows, ElementsAre(0, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(batch.offsets, ElementsAre(0, 2, 6, 7));
  EXPECT_THAT(batch.row_labels, ElementsAre(3, 6, 1, 2, 3, 4, 10));
}

TEST(Batch, IsFilledAgainInTheSameMemory) {
  Batch batch;
  const std::uint64_t large[] = {0, 0, 0}, small[] = {5};
  fill_batch(Counting(), Split::train, 0, large, batch);
  const auto *tokens = batch.tokens.data(), *labels = batch.labels.data(), *rows = batch.rows.data(),
             *offsets = batch.offsets.data(), *row_labels = batch.row_labels.data();
  fill_batch(Counting(), Split::train, 0, small, batch);
  EXPECT_THAT(batch.tokens, ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(batch.rows, ElementsAre(0));
  EXPECT_THAT(batch.offsets, ElementsAre(0, 1));
  fill_batch(Counting(), Split::train, 0, large, batch);
  EXPECT_EQ(batch.tokens.data(), tokens);
  EXPECT_EQ(batch.labels.data(), labels);
  EXPECT_EQ(batch.rows.data(), rows);
  EXPECT_EQ(batch.offsets.data(), offsets);
  EXPECT_EQ(batch.row_labels.data(), row_labels);
}

TEST(Batch, OfNothingIsEmpty) {
  Batch batch;
  fill_batch(Counting(), Split::train, 0, {}, batch);
  EXPECT_EQ(batch.batch, 0);
  EXPECT_THAT(batch.tokens, IsEmpty());
  EXPECT_THAT(batch.rows, IsEmpty());
  EXPECT_THAT(batch.offsets, ElementsAre(0));
}

std::string message(const Task& task, std::uint64_t index) {
  Batch batch;
  try {
    fill_batch(task, Split::test, 0, std::span(&index, 1), batch);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Batch, NamesTheExampleThatBreaksTheTasksWord) {
  EXPECT_THAT(message(Counting(5), 3), HasSubstr("example 3 of the task has 5 tokens; it must have 4"));
  EXPECT_THAT(message(Counting(4, 10), 8), HasSubstr("token 10 at position 2; its vocab_size is 10"));
  EXPECT_THAT(message(Counting(4, 4), 0), HasSubstr("label 4 at position 3; its language_model head has 4 outputs"));
  EXPECT_EQ(message(Counting(4, 10), 6), "");
}

TEST(EpochOrder, IsAPermutationThatDependsOnSeedAndEpoch) {
  const auto order = epoch_order(1, 2, 1000);
  EXPECT_EQ(order, epoch_order(1, 2, 1000));
  EXPECT_NE(order, epoch_order(1, 3, 1000));
  EXPECT_NE(order, epoch_order(2, 2, 1000));
  auto sorted = order;
  std::ranges::sort(sorted);
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(sorted[i], i);
  EXPECT_THAT(epoch_order(1, 2, 0), IsEmpty());
  EXPECT_THAT(epoch_order(1, 2, 1), ElementsAre(0));
}

TEST(EpochOrder, EveryPermutationIsEquallyLikely) {
  std::map<std::vector<std::uint64_t>, int> counts;
  const int draws = 24'000;
  for (int epoch = 0; epoch < draws; ++epoch) ++counts[epoch_order(5, static_cast<std::uint64_t>(epoch), 4)];
  ASSERT_EQ(counts.size(), 24u);
  double chi_square = 0;
  for (const auto& [order, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  // 23 degrees of freedom; 64.0 is exceeded with probability 1e-5.
  EXPECT_LT(chi_square, 64.0);
}

}  // namespace
}  // namespace zoo
