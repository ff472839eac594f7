#include "zoo/report/report.h"

#include "zoo/core/error.h"
#include "zoo/io/atomic_file.h"
#include "zoo/report/csv.h"
#include "zoo/report/html.h"
#include "zoo/report/json.h"
#include "zoo/report/summary.h"

namespace zoo::report {

ReportFiles write_report(std::span<const Run> runs, const std::filesystem::path& folder, const std::string& command,
                         const std::function<void(const std::string&)>& warn) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || !std::filesystem::is_directory(folder, error)) {
    throw Error("cannot create the folder '{}' for the report: {}; name another with --out", folder.string(),
                error ? error.message() : "there is a file of that name");
  }
  const ReportFiles files{folder / "report.html", folder / "results.csv", folder / "results.json"};
  const Summary summary = summarise(runs);
  // The figures first: whatever happens to the drawing, they are safe.
  write_file_atomically(files.csv, results_csv(runs));
  write_file_atomically(
      files.json,
      results_json(runs, summary, command).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  write_file_atomically(files.html, report_html(runs, summary, command, warn));
  return files;
}

}  // namespace zoo::report
