#include "tasks/common/token_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "zoo/core/error.h"

namespace zoo::tasks {

namespace {

constexpr std::size_t row_length = 16;
constexpr std::size_t end_rows = 32;  // shown at either end

std::string row(const Example& example, std::size_t begin, const TokenSymbol& symbol) {
  const std::size_t end = std::min(begin + row_length, example.tokens.size());
  std::vector<std::string> tokens, labels;
  std::size_t width = 1;
  bool labelled = false;
  for (std::size_t t = begin; t < end; ++t) {
    const bool has_label = example.labels[t] != unlabelled;
    tokens.push_back(symbol(example.tokens[t]));
    labels.push_back(has_label ? symbol(example.labels[t]) : ".");
    width = std::max({width, tokens.back().size(), labels.back().size()});
    labelled |= has_label;
  }
  const auto line = [&](const std::vector<std::string>& symbols) {
    std::string text;
    for (const std::string& one : symbols) text += fmt::format(" {:>{}}", one, width);
    return text + "\n";
  };
  return fmt::format("{:>7}", begin) + line(tokens) + (labelled ? "  label" + line(labels) : "");
}

}  // namespace

std::string token_grid(std::string_view task, const Example& example, std::int64_t seq_len, const TokenSymbol& symbol) {
  if (std::ssize(example.tokens) != seq_len || std::ssize(example.labels) != seq_len) {
    throw Error("task {}: an example to describe has {} tokens and {} labels; expected {} of each", task,
                example.tokens.size(), example.labels.size(), seq_len);
  }
  const std::size_t rows = (example.tokens.size() + row_length - 1) / row_length;
  std::string text;
  for (std::size_t i = 0; i < rows; ++i) {
    if (rows > 2 * end_rows && i == end_rows) {
      text += fmt::format("    ... {} more rows of {}\n", rows - 2 * end_rows, row_length);
      i = rows - end_rows;
    }
    text += row(example, i * row_length, symbol);
  }
  return text;
}

}  // namespace zoo::tasks
