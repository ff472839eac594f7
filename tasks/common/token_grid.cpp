#include "tasks/common/token_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "zoo/core/error.h"

namespace zoo::tasks {

namespace {

constexpr std::size_t row_length = 16;
constexpr std::ptrdiff_t end_rows = 32;  // shown at either end

struct Row {
  std::vector<std::string> tokens, labels;
  bool labelled = false;
};

Row make_row(const Example& example, std::size_t begin, const TokenSymbol& symbol) {
  Row row;
  for (std::size_t t = begin; t < std::min(begin + row_length, example.tokens.size()); ++t) {
    const bool has_label = example.labels[t] != unlabelled;
    row.tokens.push_back(symbol(example.tokens[t]));
    row.labels.push_back(has_label ? symbol(example.labels[t]) : ".");
    row.labelled |= has_label;
  }
  return row;
}

/// Where the rows to be shown begin.
std::vector<std::size_t> shown_rows(const Example& example) {
  std::vector<std::size_t> begins;
  const auto row_of = [](const std::vector<std::int32_t>& values, std::size_t begin) {
    return std::span(values).subspan(begin, std::min(row_length, values.size() - begin));
  };
  for (std::size_t begin = 0; begin < example.tokens.size(); begin += row_length) {
    const bool is_like_the_last =
        begin > 0 && std::ranges::equal(row_of(example.tokens, begin), row_of(example.tokens, begin - row_length)) &&
        std::ranges::equal(row_of(example.labels, begin), row_of(example.labels, begin - row_length));
    if (!is_like_the_last) begins.push_back(begin);
  }
  if (std::ssize(begins) > 2 * end_rows) begins.erase(begins.begin() + end_rows, begins.end() - end_rows);
  return begins;
}

}  // namespace

std::string token_grid(std::string_view task, const Example& example, std::int64_t seq_len, const TokenSymbol& symbol) {
  if (std::ssize(example.tokens) != seq_len || std::ssize(example.labels) != seq_len) {
    throw Error("task {}: an example to describe has {} tokens and {} labels; expected {} of each", task,
                example.tokens.size(), example.labels.size(), seq_len);
  }
  std::size_t width = 1;
  std::map<std::size_t, Row> rows;
  for (const std::size_t begin : shown_rows(example)) {
    const Row& row = rows[begin] = make_row(example, begin, symbol);
    for (const auto* symbols : {&row.tokens, &row.labels}) {
      for (const std::string& one : *symbols) width = std::max(width, one.size());
    }
  }
  const auto line = [&](const std::vector<std::string>& symbols) {
    std::string text;
    for (const std::string& one : symbols) text += fmt::format(" {:>{}}", one, width);
    return text + "\n";
  };
  std::string text;
  std::size_t next = 0;
  for (const auto& [begin, row] : rows) {
    if (begin != next) text += "    ...\n";
    next = begin + row_length;
    text += fmt::format("{:>7}", begin) + line(row.tokens);
    if (row.labelled) text += "  label" + line(row.labels);
  }
  return text + (next < example.tokens.size() ? "    ...\n" : "");
}

}  // namespace zoo::tasks
