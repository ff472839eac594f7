#include "zoo/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "zoo/core/error.h"
#include "zoo/core/version.h"
#include "zoo/report/findings.h"
#include "zoo/report/format.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/plots.h"

namespace zoo::report {

namespace {

using nlohmann::json;

std::string counted(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string task_name(const Table& table) {
  const json name = field(table.setting, "task");
  return name.is_null() ? "runs" : format_value(name);
}

std::size_t count_widths(const Table& table) {
  std::set<std::string> widths;
  for (const Row& row : table.rows) widths.insert(row.width);
  return widths.size();
}

std::size_t count_cells(const Table& table) {
  std::set<json> cells;
  for (const Column& column : table.columns) cells.insert(column.cell);
  return cells.size();
}

std::string headline(const Summary& summary) {
  if (summary.tables.empty()) return "No runs yet";
  const Table& table = summary.tables.front();
  if (summary.tables.size() > 1) {
    std::vector<std::string> tasks;
    for (const Table& one : summary.tables) {
      if (std::ranges::find(tasks, task_name(one)) == tasks.end()) tasks.push_back(task_name(one));
    }
    return fmt::format("{}: {} settings", joined(tasks), summary.tables.size());
  }
  return fmt::format("{}: {} compared", task_name(table),
                     table.subjects.size() == 1 ? table.subjects[0].label : counted(table.subjects.size(), "layer"));
}

// How many runs, of which kind, made when.
std::string facts(std::span<const Run> runs, const Summary& summary) {
  std::string text = counted(runs.size(), "run");
  std::vector<std::string> states;
  for (const RunStatus status :
       {RunStatus::done, RunStatus::diverged, RunStatus::failed, RunStatus::interrupted, RunStatus::running}) {
    const auto count = std::ranges::count(runs, status, &Run::status);
    if (count > 0) states.push_back(fmt::format("{} {}", count, status_name(status)));
  }
  text += " (" + joined(states) + ")";
  if (summary.tables.size() == 1) {
    const Table& table = summary.tables.front();
    text += fmt::format(" · {} · {} · {} · {}", counted(table.subjects.size(), "layer"),
                        counted(count_widths(table), "width"), counted(count_cells(table), "cell"),
                        counted(static_cast<std::size_t>(table.seeds), "seed"));
  }
  std::string first, last;
  for (const Run& run : runs) {
    if (!run.started.empty() && (first.empty() || run.started < first)) first = run.started;
    last = std::max({last, run.started, run.finished});
  }
  if (!first.empty()) text += " · " + first.substr(0, 10);
  if (!last.empty() && last.substr(0, 10) != first.substr(0, 10)) text += " to " + last.substr(0, 10);
  return escape_html(text);
}

/// Draws figures, and goes on without plots when that fails.
class Plotter {
 public:
  explicit Plotter(const std::function<void(const std::string&)>& warn) : warn_(warn) {}

  std::string figure(const Figure& figure, const Styles& styles) {
    std::string panels;
    std::vector<std::string> labels;
    bool needs_legend = false;
    for (const Panel& panel : figure.panels) {
      const auto index = static_cast<std::size_t>(&panel - figure.panels.data());
      if (index > 0 && index == figure.panels_of_first_row) panels += "</div>\n<div class=\"panels\">\n";
      panels += draw(panel);
      needs_legend = needs_legend || !names_its_lines(panel);
      for (const Series& series : panel.series) {
        if (std::ranges::find(labels, series.label) == labels.end()) labels.push_back(series.label);
      }
    }
    std::string legend;
    for (const std::string& label : labels) {
      legend += "<li>" + legend_mark(styles.at(label)) + escape_html(label) + "</li>\n";
    }
    if (needs_legend) legend = "<ul class=\"legend\">\n" + legend + "</ul>\n";
    const std::string content = fmt::format("<figcaption>{}</figcaption>\n{}<div class=\"panels\">\n{}</div>\n",
                                            escape_html(figure.caption), needs_legend ? legend : "", panels);
    if (figure.open) {
      return fmt::format("<figure>\n<h3>{}</h3>\n{}</figure>\n", escape_html(figure.title), content);
    }
    return fmt::format("<details>\n<summary>{}</summary>\n<figure>\n{}</figure>\n</details>\n",
                       escape_html(figure.title), content);
  }

 private:
  std::string draw(const Panel& panel) {
    if (!failure_.empty()) return "";
    try {
      return draw_panel(panel, fmt::format("plot{}", ++count_));
    } catch (const Error& error) {
      failure_ = error.what();
      warn_(failure_);
      return "<p class=\"notice\">" + escape_html(failure_) + "</p>\n";
    }
  }

  const std::function<void(const std::string&)>& warn_;
  int count_ = 0;
  std::string failure_;
};

std::string section(const std::string& id, const std::string& title, const std::string& content) {
  if (content.empty()) return "";
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n", id,
      escape_html(title), content);
}

std::string finding_list(const std::vector<std::string>& sentences, std::size_t first) {
  if (sentences.size() <= first) return "";
  std::string text = "<ul>\n";
  for (std::size_t i = first; i < sentences.size(); ++i) text += "<li>" + escape_html(sentences[i]) + "</li>\n";
  return text + "</ul>\n";
}

std::string settings_table(const Table& table) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : flatten(table.setting)) pairs.emplace_back(name, format_value(value));
  return html_pairs("What every run of this table shares.", pairs);
}

// All about one setting. `suffix` tells the sections of several settings apart.
std::string table_sections(std::span<const Run> runs, const Table& table, const Styles& styles, Plotter& plotter,
                           const std::string& suffix, bool lede_shown) {
  const std::vector<std::string> sentences = findings(table);
  const std::string title = suffix.empty() ? "" : ", setting " + suffix.substr(1);
  std::string plots;
  for (const Figure& figure : make_figures(table, runs, styles)) plots += plotter.figure(figure, styles);
  return section("results" + suffix, "Results" + title,
                 finding_list(sentences, lede_shown ? 1 : 0) + html_results(table, styles)) +
         section("plots" + suffix, "Plots" + title, plots) +
         section("layers" + suffix, "Layers" + title, html_layers(table, styles)) +
         section("learning-rates" + suffix, "Learning rates" + title, html_learning_rates(table)) +
         section("troubles" + suffix, "Diverged, failed and unfinished runs" + title, html_troubles(runs, table)) +
         section("setting" + suffix, "Setting" + title, settings_table(table));
}

std::string reproduction(std::span<const Run> runs, const std::string& command) {
  std::vector<std::string> commands;
  if (!command.empty()) commands.push_back(command);
  for (const Run& run : runs) {
    const json made_by = field(run.environment, "command");
    if (made_by.is_null()) continue;
    const std::string recorded = format_value(made_by);
    if (std::ranges::find(commands, recorded) == commands.end()) commands.push_back(recorded);
  }
  if (commands.empty()) return "";
  std::string text =
      commands.size() == 1
          ? "<p>The same command, build, instruction set and library versions give the same numbers bit for "
            "bit; runs that are in the store already are not run again.</p>\n"
          : "<p>These commands made the runs; what is in the store already is not run again.</p>\n";
  for (const std::string& one : commands) {
    text += "<pre tabindex=\"0\"><code>" + escape_html(one) + "</code></pre>\n";
  }
  return text;
}

std::string navigation(const std::string& sections) {
  std::string links;
  const std::string marker = "<section id=\"";
  for (std::size_t at = sections.find(marker); at != std::string::npos; at = sections.find(marker, at + 1)) {
    const std::size_t begin = at + marker.size();
    const std::string id = sections.substr(begin, sections.find('"', begin) - begin);
    const std::size_t title = sections.find("-title\">", sections.find("<h2", at)) + 8;
    links += fmt::format("<a href=\"#{}\">{}</a>\n", id, sections.substr(title, sections.find("</h2>", title) - title));
  }
  return "<nav aria-label=\"Sections\">\n" + links + "</nav>\n";
}

}  // namespace

std::string report_html(std::span<const Run> runs, const Summary& summary, const std::string& command,
                        const std::function<void(const std::string&)>& warn) {
  const Styles styles = assign_styles(summary);
  Plotter plotter(warn);
  const bool one = summary.tables.size() == 1;
  std::string header = "<h1>" + escape_html(headline(summary)) + "</h1>\n";
  std::string sections;
  if (summary.tables.empty()) {
    header +=
        "<p class=\"lede\">The store holds no runs. A sweep fills it, for example <code>zoo recall --preset "
        "quick</code>.</p>\n";
  } else if (one) {
    const std::vector<std::string> sentences = findings(summary.tables.front());
    if (!sentences.empty()) header += "<p class=\"lede\">" + escape_html(sentences.front()) + "</p>\n";
  } else {
    header += fmt::format(
        "<p class=\"lede\">The store holds runs of {} settings. What differs in more than the layer is not compared, "
        "so each "
        "setting has tables and plots of its own.</p>\n",
        summary.tables.size());
    sections += section("differences", "What differs", html_differences(summary));
  }
  for (const Table& table : summary.tables) {
    const auto number = static_cast<std::size_t>(&table - summary.tables.data()) + 1;
    sections += table_sections(runs, table, styles, plotter, one ? "" : fmt::format("-{}", number), one);
  }
  if (!runs.empty()) {
    header += "<p class=\"facts\">" + facts(runs, summary) + "</p>\n";
    sections += section("environment", "Environment", html_environments(runs));
    sections += section("reproduce", "Reproduce", reproduction(runs, command));
    header += navigation(sections);
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n"
      "</head>\n<body>\n<header>\n{}</header>\n<main>\n{}</main>\n<footer>zoo {}. results.csv and results.json beside "
      "this "
      "file hold every figure.</footer>\n</body>\n</html>\n",
      escape_html(headline(summary)), page_style, header, sections, version);
}

}  // namespace zoo::report
