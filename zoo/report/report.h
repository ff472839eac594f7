#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "zoo/io/store.h"

namespace zoo::report {

/// Where write_report put its files.
struct ReportFiles {
  std::filesystem::path html;
  std::filesystem::path csv;
  std::filesystem::path json;
};

/// Writes report.html, results.csv and results.json into a folder, which is created when it is not there. Each file
/// appears whole or stays as it was. `command` is what reproduces the runs, "" when their records should tell; `warn`
/// is told once when plots cannot be drawn (the rest is written all the same). Throws Error naming the file when the
/// folder cannot be created or written.
ReportFiles write_report(
    std::span<const Run> runs, const std::filesystem::path& folder, const std::string& command,
    const std::function<void(const std::string&)>& warn = [](const std::string&) {});

}  // namespace zoo::report
