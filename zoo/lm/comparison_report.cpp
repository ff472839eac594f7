#include "zoo/lm/comparison_report.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"
#include "zoo/lm/comparison_figures.h"
#include "zoo/report/csv.h"
#include "zoo/report/format.h"
#include "zoo/report/html_elements.h"
#include "zoo/report/html_figures.h"
#include "zoo/report/html_page.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/names.h"
#include "zoo/report/text_table.h"
#include "zoo/sweep/units.h"

namespace zoo {

namespace {

using nlohmann::json;

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : "–";
}

std::string perplexity(const LmRow& row) {
  if (!row.perplexity) return "–";
  std::string text = number(row.perplexity->value);
  if (row.perplexity->low)
    text += fmt::format(" ({} to {})", number(row.perplexity->low), number(row.perplexity->high));
  return text;
}

// The cells of a row, the first its name; the last column only where figures are published.
std::vector<std::string> cells_of(const LmRow& row, bool published) {
  std::vector<std::string> cells = {row.label,
                                    perplexity(row),
                                    number(row.recall_perplexity),
                                    number(row.other_perplexity),
                                    report::format_count(static_cast<double>(row.parameters)),
                                    report::format_bytes(static_cast<double>(row.state_bytes)),
                                    report::format_bytes(static_cast<double>(row.peak_bytes)),
                                    fmt::format("{:.0f}", row.tokens_per_second),
                                    human_seconds(row.seconds)};
  if (published) cells.push_back(row.published.empty() ? "–" : row.published);
  return cells;
}

std::vector<std::string> head(bool published) {
  std::vector<std::string> names = {"layer", "perplexity", "recall",   "other", "parameters",
                                    "state", "memory",     "tokens/s", "time"};
  if (published) names.emplace_back("published");
  return names;
}

bool has_published(std::span<const LmRow> rows) {
  return std::ranges::any_of(rows, [](const LmRow& row) { return !row.published.empty(); });
}

std::string html_table(std::span<const LmRow> rows, const std::string& caption) {
  const bool published = has_published(rows);
  std::vector<report::Line> lines;
  for (const LmRow& row : rows) {
    report::Line line{.cells = {}, .name = row.label};
    for (const std::string& cell : cells_of(row, published)) line.cells.push_back(report::escape_html(cell));
    line.cells.front() += report::small(row.status);
    lines.push_back(std::move(line));
  }
  return report::scrolling_table(
      "Results", "results",
      report::table_caption(caption) + report::table_head(head(published)) + report::table_body(lines));
}

std::string settings_table(const LmSubject& subject) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : report::flatten(subject.runs.front().run.spec.setting)) {
    pairs.emplace_back(name, report::format_value(value));
  }
  for (const char* axis : {"d_model", "lr"}) {
    pairs.emplace_back(axis, report::format_value(subject.runs.front().run.spec.axes.at(axis)));
  }
  return report::html_pairs("What every run of this page shares.", pairs);
}

std::string options_table(std::span<const LmSubject> subjects) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const LmSubject& subject : subjects) {
    pairs.emplace_back(subject.label, report::format_value(subject.runs.front().run.spec.subject.at("layer_options")));
  }
  return report::html_pairs("Every option of the layers.", pairs);
}

std::string html(std::span<const LmSubject> subjects, const std::vector<LmRow>& rows, const std::string& title,
                 const std::string& command, const std::function<void(const std::string&)>& warn) {
  std::vector<Run> runs;
  report::Styles styles;
  for (const LmSubject& subject : subjects) {
    styles.emplace(subject.label, styles.size());
    for (const LmRunRecord& record : subject.runs) runs.push_back(record.run);
  }
  report::FigureWriter figures(warn);
  report::Sections sections;
  sections.add("results", "Results",
               html_table(rows,
                          "Perplexity on the validation split with its 95% interval (over seeds where there are "
                          "several, else over sequences); of tokens that ask for recall, and of the others; memory "
                          "is the most that training held at once."));
  sections.add("plots", "Plots", figures.write(lm_figures(subjects, styles), styles, 3));
  sections.add("layers", "Layers", options_table(subjects));
  sections.add("setting", "Setting", settings_table(subjects.front()));
  sections.add("environment", "Environment", report::html_environments(runs));
  if (!command.empty()) {
    sections.add("reproduce", "Reproduce",
                 "<pre tabindex=\"0\"><code>" + report::escape_html(command) + "</code></pre>\n");
  }
  const auto best = std::ranges::min_element(rows, {}, [](const LmRow& row) {
    return row.perplexity ? row.perplexity->value : std::numeric_limits<double>::infinity();
  });
  std::string header = "<h1>" + report::escape_html(title) + "</h1>\n";
  if (best->perplexity) {
    header += fmt::format(
        "<p class=\"lede\">{} has the lowest perplexity, {}, of {} trained under identical "
        "settings.</p>\n",
        report::escape_html(best->label), number(best->perplexity->value), rows.size());
  }
  header += sections.navigation();
  return report::html_page(title, header, sections.html(),
                           "results.csv and results.json beside this file hold every figure.");
}

std::string csv(std::span<const LmSubject> subjects) {
  std::string text = report::csv_line({"run_id", "layer", "layer_options", "seed", "perplexity", "low", "high", "loss",
                                       "recall_perplexity", "other_perplexity", "parameters", "state_bytes",
                                       "peak_bytes", "flops", "tokens", "train_seconds", "data_hash", "status"});
  for (const LmSubject& subject : subjects) {
    for (const LmRunRecord& record : subject.runs) {
      const LmSubject alone{.label = subject.label, .runs = {record}};
      const LmRow row = compare_lm(std::span(&alone, 1)).front();
      const auto exact = [](const std::optional<double>& value) { return value ? report::format_exact(*value) : ""; };
      const auto known = [&](const char* key) {
        const json& summary = record.run.summary;
        return summary.is_object() && summary.contains(key) ? report::format_value(summary.at(key)) : "";
      };
      const LmFigure* figure = row.perplexity ? &*row.perplexity : nullptr;
      text += report::csv_line(
          {record.run.id, subject.label, report::format_value(record.run.spec.subject.at("layer_options")),
           report::format_value(record.run.spec.axes.at("seed")),
           figure != nullptr ? report::format_exact(figure->value) : "", figure != nullptr ? exact(figure->low) : "",
           figure != nullptr ? exact(figure->high) : "",
           record.run.slices.empty() ? "" : report::format_exact(record.run.slices.front().loss),
           exact(row.recall_perplexity), exact(row.other_perplexity), known("parameters"),
           std::to_string(row.state_bytes), known("peak_bytes"), known("flops"), known("tokens"),
           known("train_seconds"), known("data_hash"), std::string(status_name(record.run.status))});
    }
  }
  return text;
}

json results(std::span<const LmSubject> subjects, const std::vector<LmRow>& rows, const std::string& command) {
  json all = {{"command", command}, {"rows", json::array()}, {"runs", json::array()}};
  for (const LmRow& row : rows) {
    const auto value = [](const std::optional<double>& number) { return number ? json(*number) : json(); };
    all["rows"].push_back({{"label", row.label},
                           {"perplexity", row.perplexity ? json(row.perplexity->value) : json()},
                           {"low", row.perplexity ? value(row.perplexity->low) : json()},
                           {"high", row.perplexity ? value(row.perplexity->high) : json()},
                           {"recall_perplexity", value(row.recall_perplexity)},
                           {"other_perplexity", value(row.other_perplexity)},
                           {"published", row.published},
                           {"parameters", row.parameters},
                           {"state_bytes", row.state_bytes},
                           {"peak_bytes", row.peak_bytes},
                           {"tokens_per_second", row.tokens_per_second},
                           {"train_seconds", row.seconds},
                           {"flops", row.flops},
                           {"status", row.status}});
  }
  for (const LmSubject& subject : subjects) {
    for (const LmRunRecord& record : subject.runs) {
      json run = {{"run_id", record.run.id},
                  {"label", subject.label},
                  {"subject", record.run.spec.subject},
                  {"axes", record.run.spec.axes},
                  {"setting", record.run.spec.setting},
                  {"summary", record.run.summary},
                  {"status", status_name(record.run.status)},
                  {"results", nullptr},
                  {"evaluations", json::array()}};
      if (!record.run.slices.empty()) run["results"] = record.run.slices.front().metrics;
      for (const LmEvaluation& evaluation : record.evaluations) {
        run["evaluations"].push_back({{"step", evaluation.step}, {"loss", evaluation.loss}});
      }
      all["runs"].push_back(std::move(run));
    }
  }
  return all;
}

}  // namespace

std::string lm_table(std::span<const LmRow> rows, std::size_t limit) {
  const bool published = has_published(rows);
  std::vector<std::vector<std::string>> cells = {head(published)};
  for (const LmRow& row : rows) cells.push_back(cells_of(row, published));
  std::string text = report::text_table(cells, 1, limit);
  for (const LmRow& row : rows) {
    if (!row.status.empty()) text += fmt::format("{}: {}\n", row.label, row.status);
  }
  return text;
}

LmReportFiles write_lm_report(std::span<const LmSubject> subjects, const std::string& title,
                              const std::filesystem::path& folder, const std::string& command,
                              const std::function<void(const std::string&)>& warn) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Error("cannot create the folder '{}' for the report: {}", folder.string(), error.message());
  const LmReportFiles files{folder / "report.html", folder / "results.csv", folder / "results.json"};
  const std::vector<LmRow> rows = compare_lm(subjects);
  write_file_atomically(files.csv, csv(subjects));
  write_file_atomically(files.json,
                        results(subjects, rows, command).dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  write_file_atomically(files.html, html(subjects, rows, title, command, warn));
  return files;
}

}  // namespace zoo
