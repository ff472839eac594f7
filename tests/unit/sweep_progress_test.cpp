#include <gtest/gtest.h>

#include "zoo/sweep/progress.h"
#include "zoo/sweep/units.h"
#include "zoo/sweep/work.h"

namespace zoo {
namespace {

TEST(Makespan, AssignsInOrderToTheFirstFreeWorker) {
  EXPECT_DOUBLE_EQ(makespan({}, {}, 2), 0);
  EXPECT_DOUBLE_EQ(makespan({}, {1, 1, 1}, 1), 3);
  EXPECT_DOUBLE_EQ(makespan({}, {1, 1, 4}, 2), 5);
  EXPECT_DOUBLE_EQ(makespan({3, 1}, {1, 1}, 2), 3);
  EXPECT_DOUBLE_EQ(makespan({5}, {1}, 4), 5);
}

TEST(WorkTracker, KnowsNothingUntilWorkIsSeen) {
  WorkTracker work({100, 100}, 1);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 0);
  EXPECT_FALSE(work.seconds_left(5).has_value());
  work.start(0, 5);
  EXPECT_FALSE(work.seconds_left(6).has_value());
}

TEST(WorkTracker, CountsByWorkNotByRuns) {
  WorkTracker work({100, 300}, 1);
  work.start(0, 0);
  work.progress(0, 0.5);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 50.0 / 400);
  // 50 units in 10 s; 350 are left.
  EXPECT_DOUBLE_EQ(work.seconds_left(10).value(), 70);
  work.finish(0, 20);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 0.25);
  EXPECT_DOUBLE_EQ(work.seconds_left(20).value(), 60);
}

TEST(WorkTracker, TwoWorkersShareWhatIsLeft) {
  WorkTracker work({100, 100, 100, 100}, 2);
  work.start(0, 0);
  work.start(1, 0);
  work.progress(0, 0.5);
  work.progress(1, 0.5);
  // Each worker does 5 a second: 10 s for the two that run, then 20 s for the two that wait.
  EXPECT_DOUBLE_EQ(work.seconds_left(10).value(), 30);
}

TEST(WorkTracker, ARunThatEndsEarlyCountsAsWhole) {
  WorkTracker work({100, 100}, 1);
  work.start(0, 0);
  work.progress(0, 0.1);
  work.finish(0, 10);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 0.5);
  EXPECT_DOUBLE_EQ(work.seconds_left(10).value(), 10);
}

TEST(WorkTracker, ACheckpointsShareTookNoTimeNow) {
  WorkTracker work({100}, 1);
  work.resume(0, 0);
  work.progress(0, 0.5);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 0.5);
  EXPECT_FALSE(work.seconds_left(1).has_value());
  work.progress(0, 0.75);
  EXPECT_DOUBLE_EQ(work.seconds_left(10).value(), 10);
}

TEST(WorkTracker, NeverGoesBackAndNeverPastTheEnd) {
  WorkTracker work({100}, 1);
  work.start(0, 0);
  work.progress(0, 0.5);
  work.progress(0, 0.2);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 0.5);
  work.progress(0, 3);
  EXPECT_DOUBLE_EQ(work.fraction_done(), 1);
}

TEST(ProgressBar, FillsByWholePlaces) {
  EXPECT_EQ(progress_bar(0, 4), "[----]");
  EXPECT_EQ(progress_bar(0.49, 4), "[#---]");
  EXPECT_EQ(progress_bar(1, 4), "[####]");
  EXPECT_EQ(progress_bar(7, 4), "[####]");
  EXPECT_EQ(progress_bar(-1, 4), "[----]");
}

TEST(Units, AreReadable) {
  EXPECT_EQ(human_seconds(0.2), "0 s");
  EXPECT_EQ(human_seconds(59.4), "59 s");
  EXPECT_EQ(human_seconds(59.6), "1 min");
  EXPECT_EQ(human_seconds(200), "3 min 20 s");
  EXPECT_EQ(human_seconds(3599.7), "1 h");
  EXPECT_EQ(human_seconds(18720), "5 h 12 min");
  EXPECT_EQ(human_seconds(3.2 * 86400), "3.2 days");
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(16384), "16.0 KiB");
  EXPECT_EQ(human_bytes(3 << 19), "1.50 MiB");
  EXPECT_EQ(human_flops(980), "980 FLOP");
  EXPECT_EQ(human_flops(12.34e9), "12.3 GFLOP");
  EXPECT_EQ(human_flops(999.9e9), "1.00 TFLOP");
}

}  // namespace
}  // namespace zoo
