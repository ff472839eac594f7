#pragma once

#include <string>
#include <string_view>
#include <vector>

/// What the tables of report.html are put together from. Texts are escaped here; what is called content is HTML.
namespace zoo::report {

/// A line of a table: its cells as content, the first of them its header, and the name by which the filter finds it
/// ("" for a line that is always shown).
struct Line {
  std::vector<std::string> cells;
  std::string name = {};
};

/// A table that scrolls by itself where the window is narrow, and can be reached by the keyboard.
std::string scrolling_table(std::string_view label, std::string_view kind, const std::string& content);
std::string table_caption(const std::string& text);
std::string table_head(const std::vector<std::string>& names);
std::string table_body(const std::vector<Line>& lines);

/// Text below a figure, small and quiet; "" for "".
std::string small(const std::string& text);
/// The attribute by which the filter finds an element, with a space before it; "" for "".
std::string name_attribute(const std::string& name);
/// A part that the reader opens.
std::string details(const std::string& summary, const std::string& content);

}  // namespace zoo::report
