#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace zoo::report {

/// Rows of columns as text, the first row being the head; the first column stands to the left, the others to the right.
/// A table wider than `limit` columns of a terminal (0: no limit) is continued below, its first `heads` columns
/// repeated.
std::string text_table(const std::vector<std::vector<std::string>>& cells, std::size_t heads, std::size_t limit = 0);

}  // namespace zoo::report
