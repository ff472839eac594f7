#include "zoo/core/profile.h"

#include <gmock/gmock.h>

#include <thread>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/ops/ops.h"

namespace zoo {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Profile::Entry& entry_of(const std::vector<Profile::Entry>& entries, const std::string& name,
                               const std::string& pass) {
  for (const Profile::Entry& entry : entries) {
    if (entry.name == name && entry.pass == pass) return entry;
  }
  throw Error("no entry {} {}", name, pass);
}

TEST(Profile, InnerScopesCountForThemselvesAlone) {
  using namespace std::chrono_literals;
  const Profile profile;
  const auto begin = std::chrono::steady_clock::now();
  {
    const ProfileScope outer("outer", "forward");
    count_flops(1);
    std::this_thread::sleep_for(2ms);
    for (int i = 0; i < 2; ++i) {
      const ProfileScope inner("inner", "backward");
      count_flops(10);
      std::this_thread::sleep_for(10ms);
    }
    count_flops(100);
  }
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::this_thread::sleep_for(5ms);  // outside every scope: nobody's
  const auto entries = profile.entries();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].name, "inner");  // the longest first
  EXPECT_EQ(entries[0].calls, 2);
  EXPECT_EQ(entries[0].flops, 20);
  EXPECT_GE(entries[0].seconds, 0.02);
  EXPECT_EQ(entries[1].calls, 1);
  EXPECT_EQ(entries[1].flops, 101);
  EXPECT_GE(entries[1].seconds, 0.002);
  EXPECT_LE(entries[0].seconds + entries[1].seconds, elapsed);
}

TEST(Profile, OpsAreNamedForwardAndBackward) {
  const Tensor a = Tensor::full({4, 3}, 1).variable();
  const Tensor b = Tensor::full({3, 2}, 1).variable();
  const Profile profile;
  const Tensors inputs = {a, b};
  grad(ops::sum(ops::matmul(a, b)), inputs);
  const auto entries = profile.entries();
  // The gradient of a product is two products.
  EXPECT_EQ(entry_of(entries, "matmul", "forward").calls, 3);
  EXPECT_EQ(entry_of(entries, "matmul", "backward").calls, 1);
  double flops = 0;
  for (const auto& entry : entries) flops += entry.flops;
  EXPECT_EQ(flops, 3 * 2.0 * 4 * 3 * 2);
}

TEST(Profile, OnlyItsOwnThreadAndLifeAreSeen) {
  { const ProfileScope before("before", "forward"); }
  const Profile outer;
  {
    const Profile inner;
    const ProfileScope scope("inner", "forward");
    EXPECT_THAT(outer.entries(), IsEmpty());
    EXPECT_EQ(inner.entries().size(), 1U);
  }
  std::thread([] { const ProfileScope elsewhere("elsewhere", "forward"); }).join();
  { const ProfileScope scope("outer", "forward"); }
  EXPECT_THAT(outer.entries(), ElementsAre(testing::Field(&Profile::Entry::name, "outer")));
}

TEST(Profile, BytesAreThoseOfWhatAKernelReadsAndMakes) {
  const Tensor a = Tensor::full({4, 3}, 1).variable();
  const Tensor b = Tensor::full({3, 2}, 1).variable();
  const Profile profile;
  const Tensor product = ops::reshape(ops::matmul(a, b), {8});
  const auto forward = profile.entries();
  EXPECT_EQ(entry_of(forward, "matmul", "forward").bytes, sizeof(float) * (12 + 6 + 8));
  EXPECT_EQ(entry_of(forward, "reshape", "forward").bytes, 0) << "nothing moves";
  ops::matmul(a, ops::reshape(a, {3, 4}));
  EXPECT_EQ(entry_of(profile.entries(), "matmul", "forward").bytes, sizeof(float) * (26 + 12 + 16))
      << "what is read twice lies in one place";
  // The gradient of a product is two products, which count for themselves.
  const Tensors inputs = {a, b};
  grad(ops::sum(product), inputs);
  const auto both = profile.entries();
  EXPECT_EQ(entry_of(both, "matmul", "backward").bytes, 0);
  EXPECT_EQ(entry_of(both, "matmul", "forward").bytes, sizeof(float) * (54 + (8 + 6 + 12) + (8 + 12 + 6)));
}

}  // namespace
}  // namespace zoo
