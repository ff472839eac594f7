#pragma once

#include <functional>
#include <span>
#include <string>

#include "zoo/io/store.h"
#include "zoo/report/summary.h"

namespace zoo::report {

/// report.html: one file that needs nothing else and no network; its script only filters. `command` is what was typed,
/// "" when the runs' records should tell. A plot that cannot be drawn leaves its reason in its place, and `warn` is
/// told once.
std::string report_html(std::span<const Run> runs, const Summary& summary, const std::string& command,
                        const std::function<void(const std::string&)>& warn);

}  // namespace zoo::report
