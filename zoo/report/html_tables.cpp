#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "zoo/nn/layer.h"
#include "zoo/report/findings.h"
#include "zoo/report/format.h"
#include "zoo/report/html_elements.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/measures.h"

namespace zoo::report {

namespace {

using nlohmann::json;

std::string result_cell(std::span<const Run> runs, const Table& table, std::size_t column, const Result& result) {
  if (!result.has_figures()) {
    return result.missing > 0 ? "<td class=\"result\">–*" + small("not finished") + "</td>"
                              : "<td class=\"result\">–" + small("not run") + "</td>";
  }
  std::vector<std::string> notes;
  if (table.regression) notes.push_back("mse " + format_loss(measure(runs, table.columns[column], result).loss));
  if (result.state_bytes) notes.push_back(format_bytes(static_cast<double>(*result.state_bytes)));
  if (!std::isnan(result.learning_rate)) notes.push_back("lr " + format_rate(result.learning_rate));
  if (result.accuracy.count < table.seeds)
    notes.push_back(fmt::format("{} of {} seeds", result.accuracy.count, table.seeds));
  std::string note;
  for (const std::string& one : notes) note += (note.empty() ? "" : " · ") + one;
  const double share = std::clamp(result.accuracy.mean, 0.0, 1.0);
  return fmt::format(
      "<td class=\"result\"><span class=\"value\">{}</span>{}{}<span class=\"bar\"><i "
      "style=\"width:{:.1f}%\"></i></span>{}"
      "</td>",
      format_accuracy(result.accuracy.mean),
      result.accuracy.has_interval()
          ? fmt::format(" <span class=\"spread\">± {:.3f}</span>", result.accuracy.half_width)
          : "",
      result.marks(), 100 * share, small(note));
}

std::string parameters_text(const Row& row) {
  std::set<std::int64_t> counts;
  for (const Result& result : row.results) {
    if (result.parameters) counts.insert(*result.parameters);
  }
  if (counts.empty()) return "–";
  const std::string least = format_count(static_cast<double>(*counts.begin()));
  const std::string most = format_count(static_cast<double>(*counts.rbegin()));
  return least == most ? least : least + " – " + most;
}

}  // namespace

std::string html_results(std::span<const Run> runs, const Table& table, const Styles& styles) {
  std::string estimates = estimates_sentence({&table, 1});
  if (!estimates.empty()) estimates = " as " + estimates;
  std::string text =
      table_caption(fmt::format("Test accuracy{}, {}the state that the model carries after the last token (all blocks, "
                                "batch 1), and the learning "
                                "rate that was best on the validation split. Everything but the layer is the same.{}",
                                estimates, table.regression ? "the mean squared error (mse), " : "",
                                table.regression ? " " + tolerance_sentence() : ""));
  text += "<thead><tr><th scope=\"col\">Layer</th><th scope=\"col\" class=\"number\">d_model</th>";
  for (const Column& column : table.columns) text += "<th scope=\"col\">" + escape_html(column.label) + "</th>";
  text += "<th scope=\"col\" class=\"number\">Parameters</th></tr></thead>\n";
  bool diverged = false;
  bool incomplete = false;
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row& row = table.rows[i];
    const Subject& subject = table.subjects[row.subject];
    const bool first = i == 0 || table.rows[i - 1].subject != row.subject;
    if (first) {
      const auto rows = std::ranges::count(table.rows, row.subject, &Row::subject);
      text +=
          fmt::format("<tbody{}>\n<tr><th scope=\"rowgroup\" rowspan=\"{}\"><span class=\"name\">{}{}</span>{}</th>",
                      name_attribute(subject.label), rows, legend_mark(styles.at(subject.label)),
                      escape_html(subject.layer), small(subject.options));
    } else {
      text += "<tr>";
    }
    text += "<th scope=\"row\" class=\"number\">" + escape_html(row.width) + "</th>";
    for (std::size_t column = 0; column < row.results.size(); ++column) {
      const Result& result = row.results[column];
      text += result_cell(runs, table, column, result);
      diverged = diverged || result.diverged > 0;
      incomplete = incomplete || !result.complete();
    }
    text += "<td class=\"number\">" + parameters_text(row) + "</td></tr>\n";
    if (i + 1 == table.rows.size() || table.rows[i + 1].subject != row.subject) text += "</tbody>\n";
  }
  std::string html = scrolling_table("Results", "results", text);
  if (diverged) {
    html +=
        "<p class=\"quiet\">† The loss of at least one seed became NaN or infinite. It counts with the accuracy that "
        "was "
        "evaluated, or else with 0.</p>\n";
  }
  if (incomplete) html += "<p class=\"quiet\">* Not all runs of this cell are finished.</p>\n";
  return html;
}

std::string html_learning_rates(const Table& table) {
  std::set<double> rates;
  for (const Row& row : table.rows) {
    for (const auto& scores : row.rates) {
      for (const RateScore& score : scores) rates.insert(score.learning_rate);
    }
  }
  if (rates.empty()) return "";
  if (rates.size() == 1) {
    return fmt::format("<p>Every run has the learning rate {}, so there was nothing to choose.</p>\n",
                       format_rate(*rates.begin()));
  }
  std::vector<std::string> names = {"Layer", "d_model", "Cell"};
  for (const double rate : rates) names.push_back("lr " + format_rate(rate));
  std::vector<Line> lines;
  int at_the_end = 0;
  for (const Row& row : table.rows) {
    std::vector<json> seen;
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      const std::vector<RateScore>& scores = row.rates[column];
      if (scores.empty() || std::ranges::find(seen, table.columns[column].cell) != seen.end()) continue;
      seen.push_back(table.columns[column].cell);
      std::vector<std::string> line = {escape_html(table.subjects[row.subject].label), escape_html(row.width),
                                       escape_html(table.columns[column].label)};
      for (const double rate : rates) {
        const auto score = std::ranges::find(scores, rate, &RateScore::learning_rate);
        if (score == scores.end()) {
          line.emplace_back("–");
          continue;
        }
        std::string figure = escape_html(format_accuracy(score->accuracy)) + (score->diverged > 0 ? "†" : "");
        const int most =
            std::ranges::max(scores, {}, [](const RateScore& s) { return s.accuracy.count; }).accuracy.count;
        if (score->accuracy.count < most) figure += fmt::format(" ({} of {} seeds)", score->accuracy.count, most);
        line.push_back(score->chosen ? "<span class=\"chosen\">" + figure + " ✓</span>" : figure);
      }
      const bool solved = std::ranges::any_of(
          scores, [&](const RateScore& s) { return s.chosen && s.accuracy.mean >= solved_accuracy(table); });
      if (scores.size() > 1 && !solved && (scores.front().chosen || scores.back().chosen)) ++at_the_end;
      lines.push_back({std::move(line), table.subjects[row.subject].label});
    }
  }
  std::string html = scrolling_table(
      "Learning rates", "rates",
      table_caption(
          "Validation accuracy by learning rate, means over seeds. The best (✓) is what tables and plots show; of "
          "equals, the one of lower validation loss. The test split has no part in the choice.") +
          table_head(names) + table_body(lines));
  if (at_the_end > 0) {
    html += fmt::format(
        "<p class=\"notice\">Choices that fall short of {2} at an end of the rates tried: {0} of {1}. A rate beyond "
        "may do "
        "better there.</p>\n",
        at_the_end, lines.size(), format_exact(solved_accuracy(table)));
  }
  return html;
}

std::string html_layers(const Table& table, const Styles& styles) {
  std::vector<Line> lines;
  for (const Subject& subject : table.subjects) {
    std::string description, paper, part;
    for (std::size_t begin = 0; begin <= subject.layer.size(); begin += part.size() + 1) {
      part = subject.layer.substr(begin, subject.layer.find('+', begin) - begin);
      const LayerEntry* entry = layer_registry().find(part);
      if (entry == nullptr) continue;
      description += (description.empty() ? "" : " + ") + entry->description;
      paper += (paper.empty() || entry->paper.empty() ? "" : "; ") + entry->paper;
    }
    lines.push_back(
        {{"<span class=\"name\">" + legend_mark(styles.at(subject.label)) + escape_html(subject.layer) + "</span>",
          description.empty() ? "–" : escape_html(description), escape_html(paper),
          subject.options.empty() ? "defaults" : "<span class=\"code\">" + escape_html(subject.options) + "</span>"},
         subject.label});
  }
  return scrolling_table("Layers", "layers",
                         table_caption("What was compared. Options are those that differ from the layer's defaults.") +
                             table_head({"Layer", "What it is", "From", "Options"}) + table_body(lines));
}

std::string html_troubles(std::span<const Run> runs, const Table& table) {
  std::vector<Line> lines;
  for (const std::size_t index : table.runs) {
    const Run& run = runs[index];
    if (run.status == RunStatus::done) continue;
    const json& axes = run.spec.axes;
    const auto subject = std::ranges::find(table.subjects, run.spec.subject, &Subject::json);
    json where = axes;
    if (where.is_object()) where.erase("cell");
    std::string text;
    for (const auto& [name, value] : flatten(where))
      text += (text.empty() ? "" : ", ") + name + " " + format_value(value);
    const auto column = std::ranges::find(table.columns, field(axes, "cell"), &Column::cell);
    lines.push_back({{"<span class=\"code\">" + escape_html(run.id) + "</span>", escape_html(subject->label),
                      escape_html(text), column == table.columns.end() ? "" : escape_html(column->label),
                      std::string(status_name(run.status)), escape_html(run.message)},
                     subject->label});
  }
  if (lines.empty()) return "";
  return scrolling_table(
      "Runs without a full result", "troubles",
      table_caption("Runs that diverged are results and are counted; those that failed or were interrupted are run "
                    "again by the same command.") +
          table_head({"Run", "Layer", "Axes", "Cell", "Status", "Reason"}) + table_body(lines));
}

std::string html_differences(const Summary& summary) {
  std::vector<std::string> names = {"Setting"};
  for (std::size_t i = 0; i < summary.tables.size(); ++i) names.push_back(fmt::format("Setting {}", i + 1));
  std::vector<Line> lines;
  for (const Difference& difference : summary.differences) {
    lines.push_back({{"<span class=\"code\">" + escape_html(difference.name) + "</span>"}});
    for (const std::string& value : difference.values) lines.back().cells.push_back(escape_html(value));
  }
  return scrolling_table("Settings that differ", "pairs",
                         table_caption("What differs between the settings.") + table_head(names) + table_body(lines));
}

std::string html_pairs(const std::string& title, const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<Line> lines;
  for (const auto& [name, value] : pairs) {
    lines.push_back({{"<span class=\"code\">" + escape_html(name) + "</span>",
                      "<span class=\"name\">" + escape_html(value) + "</span>"}});
  }
  return scrolling_table(title, "pairs", table_caption(title) + table_head({"Name", "Value"}) + table_body(lines));
}

std::string html_environments(std::span<const Run> runs) {
  std::vector<json> environments;
  std::vector<int> counts;
  for (const Run& run : runs) {
    json environment = run.environment;
    if (environment.is_object()) {  // what each run has of its own says nothing of where it was made
      environment.erase("command");
      environment.erase("folder");
    }
    const auto at = std::ranges::find(environments, environment);
    if (at == environments.end()) {
      environments.push_back(environment);
      counts.push_back(1);
    } else {
      ++counts[static_cast<std::size_t>(at - environments.begin())];
    }
  }
  // Two columns a table of one environment: its name and value.
  std::vector<std::string> names = {"Name"};
  for (const int count : counts) names.push_back(fmt::format("{} run{}", count, count == 1 ? "" : "s"));
  std::vector<std::string> keys;
  for (const json& environment : environments) {
    for (const auto& [key, value] : flatten(environment)) {
      if (!key.empty() && std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
    }
  }
  std::vector<Line> lines;
  for (const std::string& key : keys) {
    lines.push_back({{"<span class=\"code\">" + escape_html(key) + "</span>"}});
    for (const json& environment : environments) {
      std::string value = "–";
      for (const auto& [name, item] : flatten(environment)) {
        if (name == key) value = format_value(item);
      }
      lines.back().cells.push_back("<span class=\"name\">" + escape_html(value) + "</span>");
    }
  }
  if (lines.empty()) return "<p>The runs have no record of their environment.</p>\n";
  return scrolling_table(
      "Environment", "pairs",
      table_caption("Where the runs were made. Recorded and shown, but no part of what identifies a run.") +
          table_head(names) + table_body(lines));
}

}  // namespace zoo::report
