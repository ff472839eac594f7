#include <gmock/gmock.h>

int main(int argc, char** argv) {
  // Fibers and OpenMP's threads do not survive a fork.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
