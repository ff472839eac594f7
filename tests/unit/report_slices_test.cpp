#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/unit/report_runs.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/measures.h"
#include "zoo/report/slices.h"
#include "zoo/report/table.h"

namespace zoo::report {
namespace {

using nlohmann::json;
using test::RunBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Runs = std::vector<Run>;

// A run that is tested on these slices, with accuracies 0.9, 0.8, ...
Run tested_on(RunBuilder builder, const std::vector<json>& slices) {
  zoo::Run run = builder.build();
  json& cell = run.spec.axes["cell"];
  cell["train"] = {{{"seq_len", 32}, {"examples", 100}}};
  cell["test"] = json::array();
  run.slices.erase(run.slices.begin() + 1);
  for (const json& slice : slices) {
    cell["test"].push_back(slice);
    cell["test"].back()["examples"] = 10;
    const double accuracy = 0.9 - 0.1 * static_cast<double>(run.slices.size() - 1);
    run.slices.push_back({"test", slice, accuracy, 1, 4096, 100});
  }
  return run;
}

std::vector<json> lengths() {
  return {{{"seq_len", 128}, {"p", 8}}, {{"seq_len", 16}, {"p", 8}}, {{"seq_len", 64}, {"p", 8}}};
}

std::vector<json> grid() {
  std::vector<json> slices;
  for (const int seq_len : {32, 64}) {
    for (const int depth : {0, 50, 100}) slices.push_back({{"seq_len", seq_len}, {"depth", depth}});
  }
  return slices;
}

TEST(ReportSlices, LengthsAreALineWithTheLengthOfTrainingMarked) {
  const Runs runs = {tested_on({}, lengths())};
  const Summary summary = summarise(runs);
  const std::vector<Figure> figures = line_figures(summary.tables[0], assign_styles(summary));
  ASSERT_EQ(figures.size(), 1u);
  EXPECT_EQ(figures[0].title, "Accuracy against length");
  ASSERT_EQ(figures[0].panels.size(), 1u);
  const Panel& panel = figures[0].panels[0];
  EXPECT_TRUE(panel.log2_x);
  ASSERT_EQ(panel.x_marks.size(), 1u);
  EXPECT_EQ(panel.x_marks[0].at, 32);
  ASSERT_EQ(panel.series.size(), 1u);
  std::vector<std::pair<double, double>> points;
  for (const Point& point : panel.series[0].points) points.emplace_back(point.x, point.y);
  EXPECT_THAT(points, ElementsAre(std::pair(16.0, 0.8), std::pair(64.0, 0.9 - 0.1 * 2), std::pair(128.0, 0.9)));
  EXPECT_EQ(html_grids(summary.tables[0], 3), "");
  // An option that is the same everywhere is no part of a column's name.
  EXPECT_EQ(summary.tables[0].columns[1].label, "T 16");
}

TEST(ReportSlices, TwoOptionsAreAGridForEachLayer) {
  Runs runs = {tested_on({}, grid()), tested_on({.layer = "<b>"}, grid())};
  runs[1].slices[3].accuracy = std::nan("");
  const Table table = summarise(runs).tables[0];
  const std::vector<SliceFamily> families = slice_families(table);
  ASSERT_EQ(families.size(), 1u);
  EXPECT_THAT(families[0].options, ElementsAre("depth", "seq_len"));
  EXPECT_TRUE(is_grid(table, families[0]));
  EXPECT_TRUE(line_figures(table, assign_styles(summarise(runs))).empty());
  const std::string html = html_grids(table, 3);
  EXPECT_THAT(html, HasSubstr("<h3>Accuracy by T and depth</h3>"));
  // Lengths run to the right, depths down: at depth 0 the first and the fourth slice.
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">0</th><td class=\"heat\" style=\"--heat:0.900\" title=\"0.900\">0.900"
                              "</td><td class=\"heat\" style=\"--heat:0.600\" title=\"0.600\">0.600</td>"));
  EXPECT_THAT(html, Not(HasSubstr("<b>")));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(ReportSlices, ADiagonalIsALineAndScatteredPlacesAreNeither) {
  const Table diagonal =
      summarise(Runs{tested_on({}, {{{"seq_len", 64}, {"kv", 4}}, {{"seq_len", 128}, {"kv", 8}}})}).tables[0];
  EXPECT_EQ(line_option(diagonal, slice_families(diagonal).at(0)), "seq_len");
  EXPECT_FALSE(is_grid(diagonal, slice_families(diagonal).at(0)));
  const Table scattered = summarise(Runs{tested_on({}, {{{"seq_len", 64}, {"kv", 4}},
                                                        {{"seq_len", 64}, {"kv", 5}},
                                                        {{"seq_len", 32}, {"kv", 6}},
                                                        {{"seq_len", 32}, {"kv", 7}}})})
                              .tables[0];
  EXPECT_EQ(line_option(scattered, slice_families(scattered).at(0)), "");
  EXPECT_FALSE(is_grid(scattered, slice_families(scattered).at(0)));
}

TEST(ReportSlices, OptionsThatAreNoNumbersAndSingleSlicesHaveNoFigure) {
  const Table words = summarise(Runs{tested_on({}, {{{"seq_len", "a"}}, {{"seq_len", "b"}}})}).tables[0];
  EXPECT_TRUE(slice_families(words).empty());
  EXPECT_TRUE(slice_families(summarise(Runs{RunBuilder{}.build()}).tables[0]).empty());
  zoo::Run strange;
  strange.spec.axes = {{"cell", {{"train", 3}, {"test", "x"}}}};
  EXPECT_TRUE(slice_families(summarise(Runs{strange}).tables[0]).empty());
  EXPECT_TRUE(trained_values(summarise(Runs{strange}).tables[0], strange.spec.axes["cell"], "seq_len").empty());
}

TEST(ReportMeasures, GroupsArePooledOverSlicesByTheirLabels) {
  zoo::Run run = tested_on({}, lengths());
  run.slices[1].metrics = {{"groups", json::array({{{"distance", 2}, {"accuracy", 1.0}, {"labelled", 30}}})}};
  run.slices[2].metrics = {{"groups",
                            {{{"distance", 2}, {"accuracy", 0.5}, {"labelled", 10}},
                             {{"distance", 4}, {"accuracy", 0.25}, {"labelled", 10}}}}};
  const Runs runs = {run};
  const Table table = summarise(runs).tables[0];
  ASSERT_TRUE(table.columns[0].slice.is_null());
  const Measures all = measure(runs, table.columns[0], table.rows[0].results[0]);
  EXPECT_EQ(all.group_name, "distance");
  ASSERT_EQ(all.groups.size(), 2u);
  EXPECT_DOUBLE_EQ(all.groups[0].accuracy.mean, (30 * 1.0 + 10 * 0.5) / 40);
  EXPECT_DOUBLE_EQ(all.groups[1].accuracy.mean, 0.25);
  const std::vector<Figure> figures = group_figures(table, runs, assign_styles(summarise(runs)));
  ASSERT_EQ(figures.size(), 1u);
  EXPECT_EQ(figures[0].title, "Accuracy by distance");
  EXPECT_EQ(figures[0].panels.at(0).series.at(0).points.size(), 2u);
}

TEST(ReportMeasures, RecordsOfAnyShapeAreRead) {
  zoo::Run run = RunBuilder{}.build();
  run.slices[1].loss = std::numeric_limits<double>::quiet_NaN();
  run.slices[1].metrics = {{"class_accuracy", nullptr},
                           {"sequence_accuracy", "high"},
                           {"groups",
                            {{{"distance", "far"}, {"accuracy", 1}, {"labelled", 1}},
                             {{"distance", 2}, {"accuracy", nullptr}, {"labelled", 1}},
                             {{"distance", 4}, {"accuracy", 1}, {"labelled", 0}},
                             7}}};
  const Runs runs = {run};
  const Table table = summarise(runs).tables[0];
  const Measures measures = measure(runs, table.columns[0], table.rows[0].results[0]);
  EXPECT_EQ(measures.loss.count, 0);
  EXPECT_EQ(measures.class_accuracy.count, 0);
  EXPECT_EQ(measures.sequence_accuracy.count, 0);
  EXPECT_TRUE(measures.groups.empty());
  EXPECT_THAT(html_measures(runs, table), Not(HasSubstr("nan")));
}

TEST(ReportMeasures, ClassAndSequenceAccuraciesAreShownWhereThereAreAny) {
  Runs runs = {RunBuilder{.seed = 0}.build(), RunBuilder{.seed = 1}.build()};
  EXPECT_THAT(html_measures(runs, summarise(runs).tables[0]), Not(HasSubstr("Class accuracy")));
  runs[0].slices[1].metrics = {{"class_accuracy", 0.25}, {"sequence_accuracy", 0.125}};
  runs[1].slices[1].metrics = {{"class_accuracy", 0.35}};
  const std::string html = html_measures(runs, summarise(runs).tables[0]);
  EXPECT_THAT(html, HasSubstr("<td>0.300 ± 0.635</td><td>0.125</td>"));
}

TEST(ReportMeasures, ARegressionsLossIsTheMeanSquaredError) {
  RunBuilder builder{.layer = "lstm", .test = 0.875};
  builder.setting["task"] = "adding";
  zoo::Run run = tested_on(builder, {{{"seq_len", 32}}});
  run.slices[1].loss = 0.01234;
  const Runs runs = {run};
  const Summary summary = summarise(runs);
  EXPECT_TRUE(summary.tables[0].regression);
  EXPECT_THAT(html_results(runs, summary.tables[0], assign_styles(summary)),
              testing::AllOf(HasSubstr("within 0.04 of the target"), HasSubstr("mse 0.0123")));
  EXPECT_THAT(html_measures(runs, summary.tables[0]), HasSubstr("Mean squared error</th>"));
  EXPECT_THAT(format_table(summary), HasSubstr("within 0.04 of the target"));
  builder.setting["task"] = "parity";
  EXPECT_FALSE(summarise(Runs{tested_on(builder, {{{"seq_len", 32}}})}).tables[0].regression);
  builder.setting["task"] = "unknown";
  EXPECT_FALSE(summarise(Runs{tested_on(builder, {{{"seq_len", 32}}})}).tables[0].regression);
  builder.setting["task"] = "adding";
  EXPECT_FALSE(summarise(Runs{tested_on(builder, {{{"no_such_option", 1}}})}).tables[0].regression);
}

}  // namespace
}  // namespace zoo::report
