#include "runners/lm/compare_runs.h"

#include <fmt/format.h>
#include <unistd.h>

#include "zoo/core/error.h"
#include "zoo/lm/comparison_report.h"
#include "zoo/sweep/progress.h"

namespace zoo {

void show_comparison(const std::vector<LmSubject>& subjects, const std::string& title, const std::filesystem::path& out,
                     const std::string& command) {
  fmt::print("{}\n", lm_table(compare_lm(subjects), terminal_width(STDOUT_FILENO)));
  const LmReportFiles files = write_lm_report(subjects, title, out, command,
                                              [](const std::string& warning) { fmt::print(stderr, "{}\n", warning); });
  for (const auto& file : {files.csv, files.json, files.html}) fmt::print("{}\n", file.string());
}

int compare_planned(Collective& ranks, const std::vector<LmPlanned>& planned, const std::string& title,
                    const Corpus& corpus, const std::filesystem::path& out, const LmRunRequest& request,
                    const std::string& command, bool backbones) {
  // What cannot be met is told now, not when it is its turn.
  for (const LmPlanned& one : planned) {
    for (const RunSpec& spec : one.specs) check_lm(spec, corpus);
  }
  LmJob job(ranks, (out / "runs.db").string());
  std::vector<LmSubject> subjects;
  int failed = 0;
  for (const LmPlanned& one : planned) {
    LmSubject subject{.label = one.label, .published = one.published, .runs = {}};
    for (const RunSpec& spec : one.specs) {
      const auto folder = out / fmt::format("{}-seed{}", one.folder, spec.axes.at("seed").dump());
      try {
        const Run run = job.make(spec, corpus, folder, request, command);
        if (run.status == RunStatus::interrupted) {
          if (job.leads()) fmt::print(stderr, "{}; to go on:\n  {}\n", run.message, command);
          return 130;
        }
        if (job.leads()) subject.runs.push_back(read_lm_run(run, folder));
      } catch (const UsageError&) {
        throw;
      } catch (const std::exception& problem) {
        // With other ranks waiting there is no going on to the next run.
        if (ranks.size() > 1) throw;
        fmt::print(stderr, "zoo: {}: {}\n", one.label, problem.what());
        ++failed;
      }
    }
    if (!subject.runs.empty()) subjects.push_back(std::move(subject));
  }
  if (!subjects.empty()) {
    check_comparable(subjects, backbones);
    show_comparison(subjects, title, out, command);
  }
  return failed > 0 ? 1 : 0;
}

void show_recorded(const std::vector<Run>& runs, const std::filesystem::path& out) {
  std::vector<LmRunRecord> records;
  for (const Run& run : runs) {
    // The log lies where the run was made; where it is gone there are no curves.
    const auto folder = run.environment.is_object() ? run.environment.value("folder", "") : std::string();
    records.push_back(read_lm_run(run, folder));
  }
  const auto groups = group_comparable(std::move(records));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    show_comparison(groups[i], "Language models", groups.size() == 1 ? out : out / fmt::format("lm-{}", i + 1), "");
  }
}

}  // namespace zoo
