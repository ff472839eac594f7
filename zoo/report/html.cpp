#include "zoo/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "zoo/report/findings.h"
#include "zoo/report/format.h"
#include "zoo/report/html_figures.h"
#include "zoo/report/html_filter.h"
#include "zoo/report/html_page.h"
#include "zoo/report/html_parts.h"
#include "zoo/report/overview.h"
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
void add_sections(Sections& sections, std::span<const Run> runs, const Table& table, const Styles& styles,
                  FigureWriter& figures, const std::string& suffix, int heading) {
  const bool lede_shown = suffix.empty();
  const auto add = [&](const std::string& id, const std::string& title, const std::string& content) {
    sections.add(id + suffix, title, content, heading);
  };
  add("results", "Results",
      finding_list(findings(table), lede_shown ? 1 : 0) + html_results(runs, table, styles) +
          html_measures(runs, table));
  add("plots", "Plots",
      html_grids(table, heading + 1) + figures.write(make_figures(table, runs, styles), styles, heading + 1));
  add("layers", "Layers", html_layers(table, styles));
  add("learning-rates", "Learning rates", html_learning_rates(table));
  add("troubles", "Diverged, failed and unfinished runs", html_troubles(runs, table));
  add("setting" + std::string(suffix.empty() ? "" : "s"), "Setting", settings_table(table));
}

// "Setting 3: noisy_recall, optimizer.weight_decay 0.1": the task, and what tells it from other settings of that task.
std::string part_title(const Summary& summary, std::size_t index) {
  constexpr std::size_t longest = 100;
  const Table& table = summary.tables[index];
  std::vector<json> rivals = {table.setting};
  for (const Table& other : summary.tables) {
    if (&other != &table && task_name(other) == task_name(table)) rivals.push_back(other.setting);
  }
  std::string text = fmt::format("Setting {}: {}", index + 1, task_name(table));
  for (const Difference& difference : differences(rivals)) {
    text += fmt::format(", {} {}", difference.name, difference.values.front());
  }
  return shortened(text, longest);
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

}  // namespace

std::string report_html(std::span<const Run> runs, const Summary& summary, const std::string& command,
                        const std::function<void(const std::string&)>& warn) {
  const Styles styles = assign_styles(summary);
  FigureWriter figures(warn);
  std::string header = "<h1>" + escape_html(headline(summary)) + "</h1>\n";
  Sections sections;
  if (summary.tables.empty()) {
    header +=
        "<p class=\"lede\">The store holds no runs. A sweep fills it, for example <code>zoo recall --preset "
        "quick</code>.</p>\n";
  } else if (summary.tables.size() == 1) {
    const Table& table = summary.tables.front();
    const std::vector<std::string> sentences = findings(table);
    if (!sentences.empty()) header += "<p class=\"lede\">" + escape_html(sentences.front()) + "</p>\n";
    add_sections(sections, runs, table, styles, figures, "", 2);
  } else {
    header += fmt::format(
        "<p class=\"lede\">The store holds runs of {} settings. What differs in more than the layer is not compared, "
        "so each setting has tables and plots of its own.</p>\n",
        summary.tables.size());
    sections.add("overview", "Overview", html_overview(summary, make_overview(summary)));
    sections.add("differences", "What differs", html_differences(summary));
    for (std::size_t i = 0; i < summary.tables.size(); ++i) {
      Sections part;
      add_sections(part, runs, summary.tables[i], styles, figures, fmt::format("-{}", i + 1), 3);
      const std::string title = part_title(summary, i);
      sections.add_part(fmt::format("setting-{}", i + 1), title, title, part);
    }
  }
  if (!runs.empty()) {
    sections.add("environment", "Environment", html_environments(runs));
    sections.add("reproduce", "Reproduce", reproduction(runs, command));
    header += "<p class=\"facts\">" + facts(runs, summary) + "</p>\n" + sections.navigation() + filter_box;
  }
  return html_page(headline(summary), header, sections.html(),
                   "results.csv and results.json beside this file hold every figure.",
                   runs.empty() ? "" : filter_script);
}

}  // namespace zoo::report
