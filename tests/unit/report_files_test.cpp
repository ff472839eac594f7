#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "tests/unit/report_runs.h"
#include "zoo/core/error.h"
#include "zoo/report/csv.h"
#include "zoo/report/html.h"
#include "zoo/report/html_filter.h"
#include "zoo/report/json.h"
#include "zoo/report/report.h"
#include "zoo/report/table.h"

namespace zoo::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::RunBuilder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Runs = std::vector<Run>;

std::string page_of(const Runs& runs, const std::string& command = "") {
  return report_html(runs, summarise(runs), command, [](const std::string& warning) { ADD_FAILURE() << warning; });
}

// The page but for the one script that it should have.
std::string without_script(std::string page) {
  const std::string script = std::string("<script>") + filter_script + "</script>";
  const std::size_t at = page.find(script);
  EXPECT_NE(at, std::string::npos);
  return at == std::string::npos ? page : page.erase(at, script.size());
}

// A small sweep: 2 layers x 2 widths x 2 cells x 2 seeds.
Runs small_sweep() {
  Runs runs;
  for (const std::string layer : {"attention", "linear_attention"}) {
    for (const int d_model : {64, 128}) {
      for (const int seq_len : {64, 128}) {
        for (const int seed : {0, 1}) {
          const double accuracy = layer == "attention" ? 0.995 : 0.1 + 0.01 * seed;
          runs.push_back(RunBuilder{.layer = layer,
                                    .d_model = d_model,
                                    .seed = seed,
                                    .seq_len = seq_len,
                                    .validation = accuracy,
                                    .test = accuracy}
                             .build());
        }
      }
    }
  }
  return runs;
}

// A reader of RFC 4180, so that the quoting is judged by its meaning.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows = {{""}};
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      rows.back().back() += text[++i];
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && text[i] == ',') {
      rows.back().emplace_back();
    } else if (!quoted && text[i] == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += text[i];
    }
  }
  rows.pop_back();
  return rows;
}

TEST(ReportCsv, HasARowForEachRunAndTestSlice) {
  Runs runs = {RunBuilder{.lr = 1e-3, .seed = 7, .test = 1.0 / 3}.build(),
               RunBuilder{.layer = "a,\"b\"\nc", .status = RunStatus::failed}.build()};
  runs[0].slices.push_back({"test",
                            {{"seq_len", 128}, {"kv_pairs", 16}, {"noise \"x\"", 1}},
                            0.25,
                            1.5,
                            8192,
                            1,
                            {{"class_accuracy", 0.2}, {"sequence_accuracy", nullptr}}});
  const auto rows = parse_csv(results_csv(runs));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"run_id",   "layer",  "layer_options",  "d_model",
                                               "lr",       "seed",   "seq_len",        "kv_pairs",
                                               "accuracy", "loss",   "parameters",     "state_bytes",
                                               "flops",    "epochs", "train_seconds",  "status",
                                               "task",     "slice",  "class_accuracy", "sequence_accuracy"}));
  EXPECT_EQ(rows[1], (std::vector<std::string>{runs[0].id,
                                               "attention",
                                               "{\"heads\":1}",
                                               "64",
                                               "0.001",
                                               "7",
                                               "64",
                                               "8",
                                               "0.3333333333333333",
                                               "0.6666666666666667",
                                               "12345",
                                               "4096",
                                               "1500000000000",
                                               "2",
                                               "1.25",
                                               "done",
                                               "mqar",
                                               "{\"kv_pairs\":8,\"seq_len\":64}",
                                               "",
                                               ""}));
  EXPECT_EQ(rows[2][6], "128");
  EXPECT_EQ(rows[2][8], "0.25");
  EXPECT_EQ(rows[2][17], "{\"kv_pairs\":16,\"noise \\\"x\\\"\":1,\"seq_len\":128}");
  EXPECT_EQ(rows[2][18], "0.2");
  EXPECT_EQ(rows[2][19], "");
  EXPECT_EQ(rows[3], (std::vector<std::string>{runs[1].id,
                                               "a,\"b\"\nc",
                                               "{\"heads\":1}",
                                               "64",
                                               "0.001",
                                               "0",
                                               "64",
                                               "8",
                                               "",
                                               "",
                                               "",
                                               "",
                                               "",
                                               "",
                                               "",
                                               "failed",
                                               "mqar",
                                               "{\"kv_pairs\":8,\"seq_len\":64}",
                                               "",
                                               ""}));
}

TEST(ReportJson, HoldsEveryFigureAndTheChoice) {
  Runs runs = {RunBuilder{.lr = 1e-3, .validation = 0.8}.build(), RunBuilder{.lr = 1e-2, .validation = 0.7}.build()};
  runs[1].slices[1].loss = std::nan("");
  const json all = json::parse(results_json(runs, summarise(runs), "zoo recall").dump());
  EXPECT_EQ(all["command"], "zoo recall");
  ASSERT_EQ(all["runs"].size(), 2u);
  EXPECT_EQ(all["runs"][0]["axes"], runs[0].spec.axes);
  EXPECT_EQ(all["runs"][0]["epochs"][1]["train_loss"], 1.5);
  EXPECT_EQ(all["runs"][1]["slices"][1]["loss"], nullptr);
  const json& result = all["tables"][0]["rows"][0]["results"][0];
  EXPECT_EQ(result["learning_rate"], 1e-3);
  EXPECT_EQ(result["learning_rates"].size(), 2u);
  EXPECT_EQ(result["accuracy"]["half_width"], nullptr);
  EXPECT_EQ(result["runs"], json::array({runs[0].id}));
}

TEST(ReportHtml, IsSelfContainedAndWellFormedEnough) {
  const std::string page = page_of(small_sweep());
  EXPECT_THAT(without_script(page), Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  std::string without_namespaces = std::regex_replace(page, std::regex("xmlns(:xlink)?=\"[^\"]*\""), "");
  EXPECT_THAT(without_namespaces, Not(HasSubstr("http")));
  for (const std::string tag : {"svg", "table", "section", "figure", "tbody", "tr", "td", "div", "g", "span"}) {
    const std::regex opening("<" + tag + "[ >]"), closing("</" + tag + ">");
    EXPECT_EQ(std::distance(std::sregex_iterator(page.begin(), page.end(), opening), {}),
              std::distance(std::sregex_iterator(page.begin(), page.end(), closing), {}))
        << tag;
  }
}

// That ids are unique, and that whatever is referred to is there.
void expect_references(const std::string& page) {
  const std::regex id("[ <]id=['\"]([^'\"]*)['\"]"), reference("(?:href|aria-labelledby)=['\"]#?([^'\"]*)['\"]");
  std::set<std::string> ids;
  for (std::sregex_iterator at(page.begin(), page.end(), id), end; at != end; ++at) {
    EXPECT_TRUE(ids.insert((*at)[1]).second) << (*at)[1];
  }
  int references = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), reference), end; at != end; ++at, ++references) {
    EXPECT_TRUE(ids.contains((*at)[1])) << (*at)[1];
  }
  EXPECT_GT(references, 10);
}

TEST(ReportHtml, IdsAreUniqueAndEveryReferenceHasOne) {
  expect_references(page_of(small_sweep()));
}

TEST(ReportHtml, ShowsThePlotsFiguresSettingsAndTheCommand) {
  Runs runs = small_sweep();
  runs.push_back(
      RunBuilder{.layer = "attention", .seed = 2, .status = RunStatus::diverged, .message = "loss became nan at step 7"}
          .build());
  const std::string page = page_of(runs);
  for (const std::string text : {"Accuracy against width", "Accuracy against state", "Learning curves at d_model 64",
                                 "T 128, kv 8", "loss became nan at step 7", "optimizer.weight_decay",
                                 "zoo recall --preset quick", "0.995", "4 KiB", "12.3 k"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  // 2 panels of accuracy against width, 2 against state, 3 against costs, 2 x 2 learning curves for each of 2 widths.
  const std::regex panel("<svg viewBox=\"0 0 [0-9]+ [0-9]+\" xmlns");
  EXPECT_EQ(std::distance(std::sregex_iterator(page.begin(), page.end(), panel), {}), 15);
  EXPECT_THAT(page_of(runs, "zoo report --store 'a b'"), HasSubstr("zoo report --store &#39;a b&#39;"));
}

TEST(ReportHtml, HostileNamesAreText) {
  const std::string name = "<script>alert('x')</script>\n\"$(id)`'; system(\"touch /tmp/zoo_hostile\") #\xff";
  RunBuilder builder{.layer = name, .options = {{"<b>", "</table>"}}, .message = "<img onerror=x>"};
  builder.setting["</style>"] = "<i>";
  Runs runs = {builder.build()};
  runs[0].environment = {{"<u>", "&"}, {"command", "zoo <x>"}};
  builder.status = RunStatus::failed;
  builder.seed = 1;
  runs.push_back(builder.build());
  const std::string page = without_script(page_of(runs));
  for (const std::string text : {"<script", "<b>", "</table>,", "<img", "<u>", "<x>"}) {
    EXPECT_THAT(page, Not(HasSubstr(text)));
  }
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;$(id)`"));
  EXPECT_THAT(page, HasSubstr("&lt;i&gt;"));
  EXPECT_FALSE(fs::exists("/tmp/zoo_hostile"));
  EXPECT_THAT(format_table(summarise(runs)), Not(HasSubstr("</script>\n\"")));
  const std::string written =
      results_json(runs, summarise(runs), "").dump(-1, ' ', false, json::error_handler_t::replace);
  EXPECT_TRUE(json::accept(written));
}

TEST(ReportHtml, SettingsThatDifferHaveTablesOfTheirOwn) {
  RunBuilder other{.layer = "base_conv"};
  other.setting["epochs"] = 64;
  const std::string page = page_of({RunBuilder{}.build(), other.build()});
  EXPECT_THAT(page, AllOf(HasSubstr("What differs"), HasSubstr("id=\"results-1\""), HasSubstr("id=\"results-2\"")));
  EXPECT_LT(page.find("id=\"overview\""), page.find("id=\"differences\""));
  EXPECT_THAT(page_of({RunBuilder{}.build()}), Not(HasSubstr("id=\"overview\"")));
}

TEST(ReportHtml, ThePageOfSeveralTasksHasUniqueIdsAndNamesForTheFilter) {
  Runs runs = small_sweep();
  for (const std::string task : {"parity", "\" onload=\"x", "s5"}) {
    RunBuilder builder{.layer = "lstm"};
    builder.setting["task"] = task;
    runs.push_back(builder.build());
  }
  const std::string page = page_of(runs);
  expect_references(page);
  EXPECT_THAT(page, HasSubstr("data-part=\"Setting 2: parity\""));
  EXPECT_THAT(page, HasSubstr("data-name=\"lstm\""));
  EXPECT_THAT(page, Not(HasSubstr("\" onload")));
  EXPECT_THAT(page, HasSubstr("class=\"filter\" hidden"));  // until the script runs
}

TEST(ReportHtml, AnEmptyStoreIsSaidToBeEmpty) {
  EXPECT_THAT(page_of({}), HasSubstr("No runs yet"));
}

class ReportFilesTest : public testing::Test {
 protected:
  ReportFilesTest() {
    std::string name = (fs::temp_directory_path() / "zoo_report_XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~ReportFilesTest() override {
    unsetenv("ZOO_GNUPLOT");
    fs::remove_all(folder_);
  }
  static std::string read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  fs::path folder_;
};

TEST_F(ReportFilesTest, AllThreeAreWritten) {
  const ReportFiles files = write_report(small_sweep(), folder_ / "new" / "folder", "");
  EXPECT_THAT(read(files.html), HasSubstr("</html>"));
  EXPECT_THAT(read(files.csv), HasSubstr("run_id,"));
  EXPECT_EQ(json::parse(read(files.json))["runs"].size(), 16u);
  EXPECT_NO_THROW(write_report(small_sweep(), folder_ / "new" / "folder", ""));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "new" / "folder"), {}), 3);
}

TEST_F(ReportFilesTest, WithoutGnuplotTheRestIsWritten) {
  std::ofstream(folder_ / "broken") << "#!/bin/sh\necho 'line 0: <bad>' >&2\nexit 3\n";
  fs::permissions(folder_ / "broken", fs::perms::owner_all);
  std::ofstream(folder_ / "silent") << "#!/bin/sh\nexit 0\n";
  fs::permissions(folder_ / "silent", fs::perms::owner_all);
  for (const std::string program : {"missing", "broken", "silent"}) {
    setenv("ZOO_GNUPLOT", (folder_ / program).c_str(), 1);
    std::vector<std::string> warnings;
    const ReportFiles files = write_report(small_sweep(), folder_ / "out", "",
                                           [&](const std::string& warning) { warnings.push_back(warning); });
    ASSERT_EQ(warnings.size(), 1u) << program;
    EXPECT_THAT(warnings[0], HasSubstr("gnuplot")) << program;
    const std::string page = read(files.html);
    EXPECT_THAT(page, AllOf(HasSubstr("gnuplot"), HasSubstr("0.995"), HasSubstr("</html>"))) << program;
    EXPECT_THAT(page, Not(HasSubstr("<bad>")));
  }
}

TEST_F(ReportFilesTest, AFolderThatCannotBeWrittenIsNamed) {
  std::ofstream(folder_ / "file") << "x";
  try {
    write_report(small_sweep(), folder_ / "file", "");
    FAIL() << "wrote into a file";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("file"), HasSubstr("--out")));
  }
  fs::create_directories(folder_ / "out" / "report.html");  // a folder where the page should be
  try {
    write_report(small_sweep(), folder_ / "out", "");
    FAIL() << "replaced a folder";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("report.html"));
  }
  EXPECT_TRUE(fs::exists(folder_ / "out" / "results.csv"));
}

}  // namespace
}  // namespace zoo::report
