#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/report_runs.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/overview.h"

namespace zoo::report {
namespace {

using test::RunBuilder;
using testing::HasSubstr;
using testing::Not;
using Runs = std::vector<Run>;

RunBuilder of_task(const std::string& task, RunBuilder builder) {
  builder.setting["task"] = task;
  return builder;
}

TEST(ReportOverview, HasEveryLayerOnEveryTaskAndGapsWhereNothingRan) {
  const Summary summary = summarise(Runs{of_task("mqar", {.layer = "attention", .test = 0.9}).build(),
                                         of_task("parity", {.layer = "attention", .test = 0.5}).build(),
                                         of_task("parity", {.layer = "lstm", .test = 1.0}).build()});
  const Overview overview = make_overview(summary);
  EXPECT_EQ(overview.layers, (std::vector<std::string>{"attention", "lstm"}));
  ASSERT_EQ(overview.tasks.size(), 2u);
  EXPECT_EQ(overview.tasks[0].label, "mqar");
  EXPECT_EQ(overview.tasks[1].label, "parity");
  EXPECT_EQ(overview.cells[0][0].accuracy, 0.9);
  EXPECT_EQ(overview.cells[0][1].accuracy, 0.5);
  EXPECT_FALSE(overview.cells[1][0].tried);
  EXPECT_TRUE(std::isnan(overview.cells[1][0].accuracy));
  EXPECT_EQ(overview.cells[1][1].accuracy, 1.0);
  const std::string html = html_overview(summary, overview);
  EXPECT_THAT(html, HasSubstr("<td></td>"));
  EXPECT_THAT(html, HasSubstr("href=\"#results-2\">0.500</a>"));
}

TEST(ReportOverview, TheWidthAndTheSettingAreChosenOnValidationNotOnTest) {
  RunBuilder more_decay{.d_model = 64, .validation = 0.6, .test = 0.99};
  more_decay.setting["optimizer"]["weight_decay"] = 0.5;
  const Summary summary =
      summarise(Runs{RunBuilder{.d_model = 64, .validation = 0.7, .test = 0.8}.build(),
                     RunBuilder{.d_model = 128, .validation = 0.9, .test = 0.75}.build(), more_decay.build()});
  ASSERT_EQ(summary.tables.size(), 2u);
  const Overview overview = make_overview(summary);
  ASSERT_EQ(overview.tasks.size(), 1u);
  const OverviewCell& cell = overview.cells.at(0).at(0);
  EXPECT_EQ(cell.accuracy, 0.75);
  EXPECT_EQ(overview_widths(summary, cell), "128");
  EXPECT_THAT(html_overview(summary, overview), HasSubstr("title=\"d_model 128; lr 0.001"));
}

TEST(ReportOverview, OfEqualAccuraciesTheLowerLossThenTheFirst) {
  Runs runs = {RunBuilder{.d_model = 64, .validation = 0.9, .test = 0.1}.build(),
               RunBuilder{.d_model = 128, .validation = 0.9, .test = 0.2}.build()};
  EXPECT_EQ(make_overview(summarise(runs)).cells[0][0].accuracy, 0.1);
  runs[1].slices[0].loss = 0.01;
  EXPECT_EQ(make_overview(summarise(runs)).cells[0][0].accuracy, 0.2);
}

TEST(ReportOverview, SeveralCellsHaveTheirMeanAndWhatIsMissingIsMarked) {
  Runs runs = {RunBuilder{.seq_len = 64, .test = 1.0}.build(), RunBuilder{.seq_len = 128, .test = 0.5}.build(),
               RunBuilder{.layer = "lstm", .seq_len = 64, .test = 0.25}.build()};
  const Summary summary = summarise(runs);
  const Overview overview = make_overview(summary);
  EXPECT_EQ(overview.tasks[0].cells.size(), 2u);
  EXPECT_EQ(overview.cells[0][0].accuracy, 0.75);
  EXPECT_TRUE(overview.cells[0][0].complete);
  EXPECT_EQ(overview.cells[1][0].accuracy, 0.25);
  EXPECT_FALSE(overview.cells[1][0].complete);
  EXPECT_THAT(html_overview(summary, overview), HasSubstr("0.250</a>*"));
  EXPECT_THAT(html_overview(summary, overview), HasSubstr("mean of 1 of 2 cells"));
}

TEST(ReportOverview, OptionsThatMakeAnotherProblemMakeAnotherColumn) {
  RunBuilder easy{.test = 0.9}, hard{.test = 0.3};
  easy.setting["task_options"] = {{"noise", 0.1}};
  hard.setting["task_options"] = {{"noise", 0.8}};
  const Overview overview = make_overview(summarise(Runs{easy.build(), hard.build()}));
  ASSERT_EQ(overview.tasks.size(), 2u);
  EXPECT_EQ(overview.tasks[0].label, "mqar, noise 0.1");
  EXPECT_EQ(overview.tasks[1].label, "mqar, noise 0.8");
}

TEST(ReportOverview, FailedAndDivergedRunsAndNanAreSaid) {
  Runs runs = {RunBuilder{.layer = "failed", .status = RunStatus::failed}.build(),
               RunBuilder{.layer = "diverged", .status = RunStatus::diverged}.build(),
               RunBuilder{.layer = "nan", .test = std::nan("")}.build()};
  runs[1].slices.clear();
  const Summary summary = summarise(runs);
  const Overview overview = make_overview(summary);
  EXPECT_TRUE(overview.cells[0][0].tried);
  EXPECT_TRUE(overview.cells[0][0].places.empty());
  EXPECT_EQ(overview.cells[1][0].accuracy, 0);
  EXPECT_EQ(overview.cells[1][0].diverged, 1);
  EXPECT_EQ(overview.cells[2][0].accuracy, 0);
  const std::string html = html_overview(summary, overview);
  EXPECT_THAT(html, HasSubstr("<td>–*</td>"));
  EXPECT_THAT(html, HasSubstr("†"));
  EXPECT_THAT(html, Not(HasSubstr("nan\"")));
}

TEST(ReportOverview, NoRunsAreNoTasks) {
  const Overview overview = make_overview(summarise({}));
  EXPECT_TRUE(overview.tasks.empty());
  EXPECT_TRUE(overview.layers.empty());
}

TEST(ReportOverview, HostileNamesAreText) {
  RunBuilder builder = of_task("\"><script>", {.layer = "<img onerror=x>", .options = {{"</td>", "<b>"}}});
  RunBuilder other = of_task("parity", {.layer = "' onclick='"});
  builder.setting["task_options"] = {{"<u>", "<i>"}};
  const Summary summary = summarise(Runs{builder.build(), other.build()});
  const std::string html = html_overview(summary, make_overview(summary));
  for (const std::string text : {"<script", "<img", "<b>", "<i>", "<u>", "' onclick"}) {
    EXPECT_THAT(html, Not(HasSubstr(text))) << text;
  }
  EXPECT_THAT(html, HasSubstr("&quot;&gt;&lt;script&gt;"));
}

}  // namespace
}  // namespace zoo::report
