#include "zoo/report/text_table.h"

#include <algorithm>
#include <numeric>

#include "zoo/report/format.h"

namespace zoo::report {

namespace {

constexpr std::size_t gap = 2;

void append_padded(std::string& line, const std::string& text, std::size_t width, bool left) {
  const std::string padding(width - std::min(width, display_width(text)), ' ');
  line += left ? text + padding : padding + text;
}

}  // namespace

std::string text_table(const std::vector<std::vector<std::string>>& cells, std::size_t heads, std::size_t limit) {
  std::vector<std::size_t> widths(cells[0].size());
  for (const auto& row : cells) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string text;
  for (std::size_t next = heads; next < widths.size() || text.empty();) {
    std::vector<std::size_t> shown(heads);
    std::iota(shown.begin(), shown.end(), std::size_t{0});
    std::size_t total = gap * (heads - 1);
    for (std::size_t i = 0; i < heads; ++i) total += widths[i];
    do {
      if (next == widths.size()) break;
      total += widths[next] + gap;
      shown.push_back(next++);
    } while (next < widths.size() && (limit == 0 || total + widths[next] + gap <= limit));
    if (!text.empty()) text += "\n";
    for (const auto& row : cells) {
      std::string line;
      for (const std::size_t column : shown) {
        if (column != 0) line.append(gap, ' ');
        append_padded(line, row[column], widths[column], column == 0);
      }
      text += line + "\n";
      if (&row != &cells.front()) continue;
      for (std::size_t i = 0; i < total; ++i) text += "─";
      text += "\n";
    }
  }
  return text;
}

}  // namespace zoo::report
