#include <gmock/gmock.h>

#include "zoo/gpu/host/race_report.h"

#if defined(ZOO_GPU_RACE_CHECK)
// Races in kernels are thrown, and the tests that plant them expect them: only others fail the process.
extern "C" int __tsan_on_finalize(int) {
  return zoo::gpu::host::races_outside_kernels() > 0 ? 1 : 0;
}
#endif

int main(int argc, char** argv) {
  // Fibers and OpenMP's threads do not survive a fork.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
