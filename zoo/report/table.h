#pragma once

#include <cstddef>
#include <string>

#include "zoo/report/summary.h"

namespace zoo::report {

/// The summary as text for a terminal, one table a setting, columns aligned. A table wider than `width` columns is
/// continued below with the columns that did not fit; 0 is any width. Names are made harmless for terminals: no control
/// characters.
std::string format_table(const Summary& summary, std::size_t width = 0);

}  // namespace zoo::report
