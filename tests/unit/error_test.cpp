#include "zoo/core/error.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zoo {
namespace {

const std::vector<std::string> layers = {"attention", "base_conv", "linear_attention", "mamba", "mamba2", "rnn", "gru"};

TEST(NearestName, FindsTypos) {
  EXPECT_EQ(nearest_name("atention", layers), "attention");
  EXPECT_EQ(nearest_name("attnetion", layers), "attention");
  EXPECT_EQ(nearest_name("Attention", layers), "attention");
  EXPECT_EQ(nearest_name("base-conv", layers), "base_conv");
  EXPECT_EQ(nearest_name("linearattention", layers), "linear_attention");
  EXPECT_EQ(nearest_name("mamab", layers), "mamba");
  EXPECT_EQ(nearest_name("rn", layers), "rnn");
}

TEST(NearestName, DoesNotGuessWildly) {
  EXPECT_EQ(nearest_name("lstm", layers), "");
  EXPECT_EQ(nearest_name("", layers), "");
  EXPECT_EQ(nearest_name("x", layers), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'a'), layers), "");
  EXPECT_EQ(nearest_name("attention", {}), "");
}

TEST(UnknownNameMessage, SaysWhatIsKnown) {
  EXPECT_EQ(
      unknown_name_message("layer", "mamab", layers),
      "unknown layer 'mamab'; did you mean 'mamba'? Known: attention, base_conv, linear_attention, mamba, mamba2, "
      "rnn, gru");
  EXPECT_EQ(unknown_name_message("task", "x", {}), "unknown task 'x'. There are none.");
}

}  // namespace
}  // namespace zoo
