#include "zoo/core/tensor.h"

#include <gmock/gmock.h>

#include <set>

#include "zoo/nn/sequence_state.h"

namespace zoo {
namespace {

using testing::ElementsAre;

Tensor position(float value) {
  return Tensor::from<float>({1, 1, 2}, {value, -value});
}

TEST(Tensor, GrowsInItsOwnMemoryWhileThereIsRoom) {
  if (!pool_reuses_blocks()) GTEST_SKIP() << "under AddressSanitizer a block is as large as was asked for";
  State state;
  state.set("list", Tensor::zeros({1, 0, 2}));
  constexpr int count = 10'000;
  std::set<const void*> blocks;
  for (int t = 0; t < count; ++t) {
    const Tensor whole = append_to_state(state, "list", position(static_cast<float>(t)));
    ASSERT_EQ(whole.shape(), (Shape{1, t + 1, 2}));
    blocks.insert(whole.raw());
  }
  const std::span<const float> values = state.get("list").values<float>();
  for (int t = 0; t < count; ++t) {
    ASSERT_EQ(values[static_cast<std::size_t>(2 * t)], static_cast<float>(t));
    ASSERT_EQ(values[static_cast<std::size_t>(2 * t + 1)], static_cast<float>(-t));
  }
  // Eight size classes a doubling from 64 bytes, where there are fewer, to 80,000.
  EXPECT_LE(blocks.size(), 8u * 11u);
}

TEST(Tensor, CopiesOfAStateGrowApart) {
  State state;
  state.set("list", Tensor::zeros({1, 0, 2}));
  append_to_state(state, "list", position(1));
  State other = state;
  append_to_state(state, "list", position(2));
  append_to_state(other, "list", position(3));
  append_to_state(state, "list", position(4));
  EXPECT_THAT(state.get("list").values<float>(), ElementsAre(1, -1, 2, -2, 4, -4));
  EXPECT_THAT(other.get("list").values<float>(), ElementsAre(1, -1, 3, -3));
}

TEST(Tensor, DoesNotGrowInPlaceWhereThatWouldBeWrong) {
  const auto list = [] { return Tensor::zeros({1, 3, 2}); };
  if (pool_reuses_blocks()) {
    EXPECT_TRUE(list().append_in_place(position(1), 1).defined());
  }
  EXPECT_FALSE(list().variable().append_in_place(position(1), 1).defined()) << "it is on the tape";
  EXPECT_FALSE(list().append_in_place(position(1).variable(), 1).defined()) << "what is appended is on the tape";
  EXPECT_FALSE(list().append_in_place(Tensor::zeros({1, 1, 2}, DType::f64), 1).defined()) << "another dtype";
  EXPECT_FALSE(list().append_in_place(Tensor::zeros({1, 1, 3}), 1).defined()) << "another width";
  EXPECT_FALSE(list().append_in_place(Tensor::zeros({2, 1, 2}), 1).defined()) << "another batch size";
  EXPECT_FALSE(Tensor::zeros({2, 3, 2}).append_in_place(Tensor::zeros({2, 1, 2}), 1).defined()) << "two sequences";
  const Tensor shared = list(), other = shared;
  EXPECT_FALSE(shared.append_in_place(position(1), 1).defined()) << "somebody else has it";
  EXPECT_FALSE(list().append_in_place(Tensor::zeros({1, 30'000, 2}), 1).defined()) << "no room";
  const PoolGuard guard;
  EXPECT_FALSE(list().append_in_place(position(1), 1).defined()) << "guard bytes stand behind it";
}

}  // namespace
}  // namespace zoo
