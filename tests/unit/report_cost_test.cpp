#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/report_runs.h"
#include "zoo/report/cost.h"

namespace zoo::report {
namespace {

using test::RunBuilder;
using testing::ElementsAre;
using Runs = std::vector<Run>;

CostPoint at(double cost, double accuracy, std::size_t row = 0) {
  return {row, cost, {accuracy, std::nan(""), 1}};
}

std::vector<std::size_t> rows_of(const std::vector<CostPoint>& points) {
  std::vector<std::size_t> rows;
  for (const CostPoint& point : points) rows.push_back(point.row);
  return rows;
}

TEST(ReportCost, TheFrontIsWhatNothingBeats) {
  const std::vector<CostPoint> points = {at(8, 0.9, 0), at(1, 0.2, 1), at(4, 0.5, 2), at(4, 0.6, 3),
                                         at(6, 0.6, 4), at(9, 0.8, 5), at(1, 0.2, 6)};
  // 2 is as cheap as 3 and worse, 4 as good as 3 and dearer, 5 both worse and dearer than 0; 1 and 6 are equal.
  EXPECT_THAT(rows_of(pareto_front(points)), ElementsAre(1, 6, 3, 0));
}

TEST(ReportCost, TheFrontOfNothingAndOfOnePoint) {
  EXPECT_TRUE(pareto_front({}).empty());
  const std::vector<CostPoint> one = {at(3, 0)};
  EXPECT_EQ(pareto_front(one).size(), 1u);
}

TEST(ReportCost, PointsAreMeansOverSeedsAndCells) {
  Runs runs;
  for (const int seed : {0, 1}) {
    for (const int seq_len : {64, 128}) {
      runs.push_back(
          RunBuilder{.seed = seed, .seq_len = seq_len, .test = seq_len == 64 ? 0.9 : 0.5, .state_bytes = 1000}.build());
      runs.back().summary["train_seconds"] = seq_len == 64 ? 2 + seed : 10 + seed;
    }
  }
  const Table table = summarise(runs).tables.at(0);
  const auto seconds = cost_points(table, runs, Cost::seconds);
  ASSERT_EQ(seconds.size(), 1u);
  EXPECT_DOUBLE_EQ(seconds[0].cost, (2.5 + 10.5) / 2);
  EXPECT_DOUBLE_EQ(seconds[0].accuracy.mean, 0.7);
  EXPECT_FALSE(seconds[0].accuracy.has_interval());  // the spread of two cells says nothing of seeds
  EXPECT_EQ(cost_points(table, runs, Cost::state).at(0).cost, 1000);
  EXPECT_EQ(cost_points(table, runs, Cost::flops).at(0).cost, 1.5e12);
}

TEST(ReportCost, RowsWithoutTheCostOrWithoutACellHaveNoPoint) {
  Runs runs = {RunBuilder{.layer = "a", .seq_len = 64}.build(), RunBuilder{.layer = "a", .seq_len = 128}.build(),
               RunBuilder{.layer = "b", .seq_len = 64}.build(), RunBuilder{.layer = "c", .seq_len = 64}.build(),
               RunBuilder{.layer = "c", .seq_len = 128}.build()};
  runs[3].summary["flops"] = nullptr;
  runs[4].summary["train_seconds"] = "long";
  const Table table = summarise(runs).tables.at(0);
  EXPECT_EQ(cost_points(table, runs, Cost::state).size(), 2u);
  EXPECT_EQ(cost_points(table, runs, Cost::flops).size(), 1u);
  EXPECT_EQ(cost_points(table, runs, Cost::seconds).size(), 1u);
  runs[0].summary = nullptr;
  EXPECT_TRUE(cost_points(table, runs, Cost::flops).empty());
  EXPECT_TRUE(
      cost_points(summarise(Runs{RunBuilder{.status = RunStatus::failed}.build()}).tables.at(0), {}, Cost::state)
          .empty());
}

TEST(ReportCost, TheFrontIsNamedBelowThePlots) {
  Runs runs = {RunBuilder{.layer = "<small>", .test = 0.5, .state_bytes = 1024}.build(),
               RunBuilder{.layer = "large", .test = 0.9, .state_bytes = 4096}.build(),
               RunBuilder{.layer = "worse", .test = 0.4, .state_bytes = 4096}.build()};
  const Summary summary = summarise(runs);
  const Figure figure = cost_figure(summary.tables[0], runs, assign_styles(summary));
  ASSERT_EQ(figure.panels.size(), 3u);
  ASSERT_EQ(figure.notes.size(), 3u);
  EXPECT_EQ(figure.notes[2], "On the front by state: <small> (1 KiB, 0.500) and large (4 KiB, 0.900).");
  EXPECT_EQ(figure.panels[2].series.front().joined, Joined::front);
  EXPECT_EQ(figure.panels[2].series.front().points.size(), 2u);
  // Among equal times only the best is on the front, which has nowhere to go on to.
  EXPECT_EQ(figure.notes[0], "On the front by training time: large (1.25 s, 0.900).");
  EXPECT_EQ(figure.panels[0].series.front().points.size(), 1u);
  // One point has nothing to be compared with.
  EXPECT_TRUE(cost_figure(summarise(Runs{runs[0]}).tables[0], runs, assign_styles(summary)).panels.empty());
}

}  // namespace
}  // namespace zoo::report
