#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/unit/report_runs.h"
#include "zoo/report/csv.h"
#include "zoo/report/findings.h"
#include "zoo/report/format.h"
#include "zoo/report/html.h"
#include "zoo/report/json.h"
#include "zoo/report/statistics.h"
#include "zoo/report/summary.h"
#include "zoo/report/table.h"

namespace zoo::report {
namespace {

using test::RunBuilder;
using testing::HasSubstr;
using testing::Not;
using Runs = std::vector<Run>;

const Result& only_result(const Summary& summary) {
  return summary.tables.at(0).rows.at(0).results.at(0);
}

TEST(ReportStatistics, IntervalIsStudents) {
  // t(0.975, 4) = 2.7764451051977987; the values have mean 3 and standard deviation sqrt(2.5).
  const std::vector<double> values = {1, 2, 3, 4, 5};
  const Estimate five = estimate(values);
  EXPECT_DOUBLE_EQ(five.mean, 3);
  EXPECT_NEAR(five.half_width, 2.7764451051977987 * std::sqrt(2.5 / 5), 1e-12);
  EXPECT_EQ(five.count, 5);
  // t(0.975, 1) = 12.706204736174698
  EXPECT_NEAR(estimate(std::vector<double>{0, 1}).half_width, 12.706204736174698 * 0.5, 1e-11);
  EXPECT_FALSE(estimate(std::vector<double>{0.5}).has_interval());
  EXPECT_TRUE(std::isnan(estimate({}).mean));
}

TEST(ReportFormat, NumbersAsPeopleReadThem) {
  EXPECT_EQ(format_accuracy(0.99996), "0.999");  // not solved to the last label, so not 1.000
  EXPECT_EQ(format_accuracy(1.0), "1.000");
  EXPECT_EQ(format_accuracy(std::nan("")), "–");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(65536), "64 KiB");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_count(1'048'576), "1.05 M");
  EXPECT_EQ(format_count(999'999), "1.00 M");
  EXPECT_EQ(format_exact(0.1), "0.1");
  EXPECT_EQ(std::stod(format_exact(1.0 / 3)), 1.0 / 3);
  EXPECT_EQ(format_exact(std::numeric_limits<double>::infinity()), "");
  EXPECT_EQ(shortened("linear_attention", 8), "linear_…");
  EXPECT_EQ(shortened("±±±±", 3), "±±…");
  EXPECT_EQ(display_width("0.5 ± 0.1"), 9u);
  EXPECT_EQ(one_line("a\nb\x1b[31m\xff\xC2\x9B"), "a b [31m\xEF\xBF\xBD ");
}

TEST(ReportSummary, LearningRateIsChosenOnValidationNotOnTest) {
  const Runs runs = {RunBuilder{.lr = 1e-3, .validation = 0.8, .test = 0.5}.build(),
                     RunBuilder{.lr = 1e-2, .validation = 0.7, .test = 0.9}.build()};
  const Result result = only_result(summarise(runs));
  EXPECT_EQ(result.learning_rate, 1e-3);
  EXPECT_EQ(result.accuracy.mean, 0.5);
  EXPECT_TRUE(result.complete());
}

TEST(ReportSummary, LearningRateIsChosenByTheMeanOverSeeds) {
  // The best single seed has 1e-2; the best mean has 1e-3.
  const Runs runs = {RunBuilder{.lr = 1e-3, .seed = 0, .validation = 0.8, .test = 0.6}.build(),
                     RunBuilder{.lr = 1e-3, .seed = 1, .validation = 0.8, .test = 0.8}.build(),
                     RunBuilder{.lr = 1e-2, .seed = 0, .validation = 0.95, .test = 0.9}.build(),
                     RunBuilder{.lr = 1e-2, .seed = 1, .validation = 0.3, .test = 0.3}.build()};
  const Result result = only_result(summarise(runs));
  EXPECT_EQ(result.learning_rate, 1e-3);
  EXPECT_NEAR(result.accuracy.mean, 0.7, 1e-15);
  EXPECT_NEAR(result.accuracy.half_width, 12.706204736174698 * 0.1, 1e-12);
  EXPECT_EQ(result.runs, (std::vector<std::size_t>{0, 1}));
}

TEST(ReportSummary, OfEqualAccuraciesTheLowerLossIsChosenThenTheLowerRate) {
  Runs runs = {RunBuilder{.lr = 1e-3, .validation = 1}.build(), RunBuilder{.lr = 1e-2, .validation = 1}.build()};
  EXPECT_EQ(only_result(summarise(runs)).learning_rate, 1e-3);
  runs[0].slices[0].loss = 0.5;
  EXPECT_EQ(only_result(summarise(runs)).learning_rate, 1e-2);
}

TEST(ReportSummary, DivergedRunsAreResults) {
  Runs runs = {RunBuilder{.seed = 0, .validation = 0.9, .test = 0.9}.build(),
               RunBuilder{.seed = 1, .status = RunStatus::diverged, .message = "loss became nan at step 7"}.build()};
  runs[1].slices.clear();
  Result result = only_result(summarise(runs));
  EXPECT_EQ(result.accuracy.count, 2);
  EXPECT_NEAR(result.accuracy.mean, 0.45, 1e-15);
  EXPECT_EQ(result.diverged, 1);
  EXPECT_TRUE(result.complete());
  runs[1] = RunBuilder{.seed = 1, .test = 0.1, .status = RunStatus::diverged}.build();
  EXPECT_NEAR(only_result(summarise(runs)).accuracy.mean, 0.5, 1e-15);
  runs[1].slices[1].accuracy = std::nan("");
  EXPECT_NEAR(only_result(summarise(runs)).accuracy.mean, 0.45, 1e-15);
  EXPECT_THAT(format_table(summarise(runs)), HasSubstr("†"));
}

TEST(ReportSummary, CellsThatAreNotFinishedAreMarked) {
  Runs runs = {RunBuilder{.lr = 1e-3, .seed = 0}.build(),
               RunBuilder{.lr = 1e-3, .seed = 1, .status = RunStatus::failed}.build()};
  Result result = only_result(summarise(runs));
  EXPECT_EQ(result.missing, 1);
  EXPECT_FALSE(result.complete());
  EXPECT_THAT(format_table(summarise(runs)), HasSubstr("0.500*"));
  // Another learning rate that is not there yet may change the choice.
  runs = {RunBuilder{.lr = 1e-3}.build(), RunBuilder{.lr = 1e-2, .status = RunStatus::running}.build()};
  result = only_result(summarise(runs));
  EXPECT_EQ(result.missing, 0);
  EXPECT_FALSE(result.complete());
  // A rate with one good seed of two is not chosen over a complete one.
  runs = {RunBuilder{.lr = 1e-3, .seed = 0, .validation = 0.5}.build(),
          RunBuilder{.lr = 1e-3, .seed = 1, .validation = 0.5}.build(),
          RunBuilder{.lr = 1e-2, .seed = 0, .validation = 0.9}.build(),
          RunBuilder{.lr = 1e-2, .seed = 1, .status = RunStatus::interrupted}.build()};
  EXPECT_EQ(only_result(summarise(runs)).learning_rate, 1e-3);
}

TEST(ReportSummary, TheNumberOfSeedsIsSaidToBeTheMostWhereSomeHaveFewer) {
  Runs runs = {RunBuilder{.layer = "mamba", .seed = 0}.build()};
  EXPECT_EQ(estimates_sentence(summarise(runs).tables), "");
  runs.push_back(RunBuilder{.layer = "mamba", .seed = 1}.build());
  EXPECT_EQ(estimates_sentence(summarise(runs).tables), "mean and 95% interval over 2 seeds");
  runs.push_back(RunBuilder{.layer = "gla", .seed = 0}.build());
  EXPECT_EQ(estimates_sentence(summarise(runs).tables), "mean and 95% interval over up to 2 seeds");
  EXPECT_THAT(format_table(summarise(runs)), HasSubstr("Test accuracy, mean and 95% interval over up to 2 seeds;"));
  EXPECT_THAT(report_html(runs, summarise(runs), "", [](const std::string&) {}),
              HasSubstr("as mean and 95% interval over up to 2 seeds"));
  // In a table of its own: the text has one line for all tables.
  runs.back().spec.setting["epochs"] = 9;
  EXPECT_EQ(estimates_sentence(summarise(runs).tables), "mean and 95% interval over up to 2 seeds");
}

TEST(ReportSummary, DifferentSettingsAreNeverInOneTable) {
  RunBuilder other{.layer = "base_conv"};
  other.setting["epochs"] = 64;
  other.setting["clip"] = 1.0;
  const Runs runs = {RunBuilder{}.build(), other.build(), RunBuilder{.layer = "base_conv"}.build()};
  const Summary summary = summarise(runs);
  ASSERT_EQ(summary.tables.size(), 2u);
  EXPECT_EQ(summary.tables[0].runs, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(summary.tables[1].runs, (std::vector<std::size_t>{1}));
  ASSERT_EQ(summary.differences.size(), 2u);
  EXPECT_EQ(summary.differences[0].name, "clip");
  EXPECT_EQ(summary.differences[0].values, (std::vector<std::string>{"(absent)", "1"}));
  EXPECT_EQ(summary.differences[1].name, "epochs");
  EXPECT_EQ(summary.differences[1].values, (std::vector<std::string>{"4", "64"}));
  const std::string text = format_table(summary);
  EXPECT_THAT(text, HasSubstr("Setting 2 of 2: clip 1, epochs 64"));
  EXPECT_THAT(text, HasSubstr("not compared"));
}

TEST(ReportSummary, RowsAndColumnsAreSortedByNumber) {
  Runs runs;
  for (const int seq_len : {1024, 128}) {
    for (const int d_model : {512, 64}) {
      runs.push_back(RunBuilder{.layer = "zzz", .d_model = d_model, .seq_len = seq_len}.build());
      runs.push_back(RunBuilder{.layer = "aaa", .d_model = d_model, .seq_len = seq_len}.build());
    }
  }
  const Table table = summarise(runs).tables.at(0);
  ASSERT_EQ(table.columns.size(), 2u);
  EXPECT_EQ(table.columns[0].label, "T 128, kv 8");
  ASSERT_EQ(table.rows.size(), 4u);
  EXPECT_EQ(table.subjects[table.rows[0].subject].label, "zzz");  // in the order of the runs
  EXPECT_EQ(table.rows[0].width, "64");
  EXPECT_EQ(table.rows[1].width, "512");
}

TEST(ReportSummary, AMixtureHasAColumnOfAllItsSlicesWeightedByExamples) {
  zoo::Run run = RunBuilder{}.build();
  run.spec.axes["cell"]["test"] = {{{"seq_len", 64}, {"kv_pairs", 8}, {"examples", 3000}},
                                   {{"seq_len", 256}, {"kv_pairs", 8}, {"examples", 1000}}};
  run.slices = {{"test", {{"seq_len", 64}, {"kv_pairs", 8}}, 1.0, 0, 100, 1},
                {"test", {{"seq_len", 256}, {"kv_pairs", 8}}, 0.2, 0, 400, 1}};
  const Table table = summarise(Runs{run}).tables.at(0);
  ASSERT_EQ(table.columns.size(), 3u);
  EXPECT_EQ(table.columns[0].label, "all 2 slices");
  EXPECT_NEAR(table.rows[0].results[0].accuracy.mean, 0.8, 1e-15);
  EXPECT_EQ(table.rows[0].results[0].state_bytes, 400);
  EXPECT_EQ(table.rows[0].results[1].state_bytes, 100);
}

TEST(ReportSummary, CellsOfTheSameSliceAreToldApart) {
  Runs runs = {RunBuilder{}.build(), RunBuilder{.test = 0.9}.build()};
  runs[1].spec.axes["cell"]["train"][0]["examples"] = 20000;
  const Table table = summarise(runs).tables.at(0);
  ASSERT_EQ(table.columns.size(), 2u);
  EXPECT_NE(table.columns[0].label, table.columns[1].label);
  EXPECT_THAT(table.columns[1].label, HasSubstr("train[0].examples 20000"));
}

TEST(ReportSummary, SubjectsOfOneLayerAreToldApartByTheirOptions) {
  const Runs runs = {RunBuilder{.options = {{"heads", 1}, {"bias", true}}}.build(),
                     RunBuilder{.options = {{"heads", 4}, {"bias", true}}}.build(),
                     RunBuilder{.layer = "mamba"}.build()};
  const std::vector<Subject> subjects = summarise(runs).tables.at(0).subjects;
  ASSERT_EQ(subjects.size(), 3u);
  EXPECT_EQ(subjects[0].label, "attention (heads=1)");
  EXPECT_EQ(subjects[1].label, "attention (heads=4)");
  EXPECT_EQ(subjects[2].label, "mamba");
}

TEST(ReportSummary, NoRunsAreNoTables) {
  EXPECT_TRUE(summarise({}).tables.empty());
  EXPECT_EQ(format_table(summarise({})), "There are no runs yet.\n");
}

TEST(ReportSummary, RecordsOfUnknownShapeAreShownNotRefused) {
  zoo::Run run;
  run.id = "0123456789ab";
  run.status = RunStatus::done;
  const Summary summary = summarise(Runs{run});
  ASSERT_EQ(summary.tables.size(), 1u);
  EXPECT_THAT(format_table(summary), HasSubstr("?"));
  EXPECT_THAT(results_csv(Runs{run}), HasSubstr("0123456789ab,,{}"));
  EXPECT_NO_THROW(report_html(Runs{run}, summary, "", [](const std::string&) {}));
  EXPECT_NO_THROW(results_json(Runs{run}, summary, ""));
  EXPECT_TRUE(findings(summary.tables[0]).empty());
}

TEST(ReportTable, ColumnsAreAlignedAndWideTablesContinueBelow) {
  Runs runs;
  for (const int seq_len : {64, 128, 256}) {
    for (const int seed : {0, 1})
      runs.push_back(RunBuilder{.seed = seed, .seq_len = seq_len, .test = 0.5 + 0.1 * seed}.build());
  }
  const std::string wide = format_table(summarise(runs));
  EXPECT_THAT(wide, HasSubstr("0.550 ± 0.635"));
  EXPECT_THAT(wide, HasSubstr("12.3 k"));
  EXPECT_THAT(wide, HasSubstr("4 KiB"));
  std::istringstream lines(wide);
  std::string head, rule, row;
  std::getline(lines, head);
  std::getline(lines, rule);
  std::getline(lines, row);
  EXPECT_EQ(display_width(head), display_width(row));
  EXPECT_EQ(display_width(head), display_width(rule));
  std::istringstream narrow(format_table(summarise(runs), 64));
  int heads = 0;
  for (std::string line; std::getline(narrow, line) && !line.starts_with("Test accuracy");) {
    EXPECT_LE(display_width(line), 64u) << line;
    heads += line.starts_with("layer");
  }
  EXPECT_GT(heads, 1);
}

TEST(ReportFindings, AreComputedFromTheFigures) {
  const Runs runs = {
      RunBuilder{.layer = "sun", .seed = 0, .test = 0.999, .state_bytes = 65536}.build(),
      RunBuilder{.layer = "sun", .seed = 1, .test = 0.997, .state_bytes = 65536}.build(),
      RunBuilder{.layer = "moon", .seed = 0, .test = 0.14, .state_bytes = 32768}.build(),
      RunBuilder{.layer = "moon", .seed = 1, .test = 0.142, .state_bytes = 32768}.build(),
  };
  const std::string text = joined(findings(summarise(runs).tables.at(0)));
  EXPECT_THAT(text, HasSubstr("sun solves the task (accuracy 0.998 or more); moon reaches 0.141."));
  EXPECT_THAT(text,
              HasSubstr("The widest gap at equal width is 0.857, at d_model 64: sun has 0.998 ± 0.013 with 64 KiB of "
                        "state, moon has 0.141 ± 0.013 with 32 KiB of state. Their 95% intervals are apart."));
  EXPECT_THAT(text, Not(HasSubstr("attention")));
}

TEST(ReportFindings, StateIsSaidToGrowOnlyWhereItWasMeasuredToGrow) {
  const Runs runs = {RunBuilder{.layer = "cache", .seq_len = 64, .state_bytes = 1024}.build(),
                     RunBuilder{.layer = "cache", .seq_len = 128, .state_bytes = 2048}.build(),
                     RunBuilder{.layer = "fixed", .seq_len = 64, .state_bytes = 512}.build(),
                     RunBuilder{.layer = "fixed", .seq_len = 128, .state_bytes = 512}.build()};
  const std::vector<std::string> sentences = findings(summarise(runs).tables.at(0));
  EXPECT_EQ(sentences.front(), "No layer solves every cell (accuracy 0.99 or more); cache reaches 0.500 at most.");
  EXPECT_EQ(
      sentences.back(),
      "From T 64 to T 128, each at its smallest width, the state grows for cache (1 KiB to 2 KiB) and stays the same "
      "for fixed (512 B).");
}

}  // namespace
}  // namespace zoo::report
