#include "zoo/sweep/cells.h"

#include <algorithm>
#include <optional>

#include "zoo/core/error.h"
#include "zoo/sweep/merge.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

using nlohmann::json;

// One value for each cell from a list that has as many, or one for all.
template <typename Value>
std::vector<Value> for_each_cell(std::vector<Value> values, std::size_t cells, std::string_view name) {
  if (values.size() == 1) values.resize(cells, values.front());
  if (values.size() != cells) {
    throw UsageError("--{} has {} values, but --seq-len and --kv-pairs make {} {}; give one value, or one per cell",
                     name, values.size(), cells, cells == 1 ? "cell" : "cells");
  }
  return values;
}

// A list that need not have distinct values: cells differ in something else.
std::vector<std::int64_t> cell_numbers(const Merged& merged, const std::string& name) {
  const std::string& text = merged.get(name);
  if (trim(text).empty()) throw UsageError("--{} is empty; give at least one value, several as a,b,c", name);
  std::vector<std::int64_t> numbers;
  for (const std::string& part : split(text, ',')) numbers.push_back(parse_integer("--" + name, part, 1));
  return numbers;
}

// What seq-len and kv-pairs say of each cell; one cell without options when neither is given.
std::vector<json> options_in_pairs(const Merged& merged) {
  std::vector<std::pair<const char*, std::vector<std::int64_t>>> lists;
  if (merged.find("seq-len") != nullptr) lists.emplace_back("seq_len", cell_numbers(merged, "seq-len"));
  if (merged.find("kv-pairs") != nullptr) lists.emplace_back("kv_pairs", cell_numbers(merged, "kv-pairs"));
  std::size_t count = 1;
  for (const auto& [name, values] : lists) count = std::max(count, values.size());
  std::vector<json> cells(count, json::object());
  for (auto& [name, values] : lists) {
    if (values.size() != 1 && values.size() != count) {
      throw UsageError(
          "--seq-len has {} values and --kv-pairs has {}; they go in pairs: give equally many of both, or one of "
          "either",
          lists[0].second.size(), lists[1].second.size());
    }
    for (std::size_t i = 0; i < count; ++i) cells[i][name] = values[values.size() == 1 ? 0 : i];
  }
  return cells;
}

// The options of a cell with those of train-option or test-option, every combination of the values of their lists.
std::vector<json> with_options(const Merged& merged, const std::string& name, const json& cell, bool lists) {
  std::vector<json> all = {cell};
  const auto given = merged.repeatable.find(name);
  if (given == merged.repeatable.end()) return all;
  for (const auto& [key, ranked] : given->second) {
    const auto values = lists ? split_list("--" + name + " " + key, ranked.value) : std::vector{ranked.value};
    std::vector<json> longer;
    for (const json& start : all) {
      for (const std::string& value : values) {
        longer.push_back(start);
        longer.back()[key] = value;
      }
    }
    all = std::move(longer);
  }
  return all;
}

std::vector<Cell> cells_in_lists(const Merged& merged) {
  const std::vector<json> options = options_in_pairs(merged);
  const std::size_t count = options.size();
  const auto train = for_each_cell(cell_numbers(merged, "train-examples"), count, "train-examples");
  const auto test = for_each_cell(cell_numbers(merged, "test-examples"), count, "test-examples");
  const auto batch = for_each_cell(cell_numbers(merged, "batch-size"), count, "batch-size");
  std::vector<Cell> cells;
  for (std::size_t i = 0; i < count; ++i) {
    Cell cell{batch[i], {}, {}};
    for (const json& one : with_options(merged, "train-option", options[i], false))
      cell.train.emplace_back(one, train[i]);
    for (const json& one : with_options(merged, "test-option", options[i], true)) cell.test.emplace_back(one, test[i]);
    if (std::ranges::find(cells, cell) != cells.end()) {
      throw UsageError("--seq-len and --kv-pairs make the cell {} twice; say it once", options[i].dump());
    }
    cells.push_back(cell);
  }
  return cells;
}

std::vector<CellPart> mixture_parts(const Merged& merged, const std::string& name) {
  std::vector<CellPart> parts;
  for (const std::string& text : split_list("--" + name, merged.get(name))) {
    const auto numbers = split(text, ':');
    if (numbers.size() != 3) {
      throw UsageError("--{} '{}' is not a part of a mixture; write SEQ_LEN:KV_PAIRS:EXAMPLES, for example 64:4:100000",
                       name, text);
    }
    const std::string option = "--" + name + " " + text;
    parts.push_back({parse_integer(option, numbers[0], 1), parse_integer(option, numbers[1], 1),
                     parse_integer(option, numbers[2], 1)});
  }
  return parts;
}

}  // namespace

std::vector<Cell> cells_of(const Merged& merged) {
  std::optional<std::pair<std::size_t, std::string>> pairs;
  std::optional<std::pair<std::size_t, std::string>> mixture;
  for (const std::string name : {"seq-len", "kv-pairs", "train-examples", "test-examples"}) {
    if (const Ranked* ranked = merged.find(name)) pairs = std::max(pairs, {{ranked->rank, name}});
  }
  for (const std::string name : {"train-option", "test-option"}) {
    const auto given = merged.repeatable.find(name);
    if (given == merged.repeatable.end()) continue;
    for (const auto& [key, ranked] : given->second) pairs = std::max(pairs, {{ranked.rank, name}});
  }
  for (const std::string name : {"train", "test"}) {
    if (const Ranked* ranked = merged.find(name)) mixture = std::max(mixture, {{ranked->rank, name}});
  }
  if (!mixture || (pairs && pairs->first > mixture->first)) {
    if (mixture && (merged.find("seq-len") == nullptr || merged.find("kv-pairs") == nullptr)) {
      throw UsageError(
          "--{} is for cells of --seq-len and --kv-pairs, but {} describes a mixture; give --train and "
          "--test, or --seq-len and --kv-pairs",
          pairs->second, merged.origins[mixture->first]);
    }
    return cells_in_lists(merged);
  }
  if (pairs && pairs->first == mixture->first) {
    throw UsageError("--{} and --{} contradict: a mixture by --train and --test, or cells by --seq-len and --kv-pairs",
                     mixture->second, pairs->second);
  }
  const auto batch = cell_numbers(merged, "batch-size");
  if (batch.size() != 1) {
    throw UsageError("--batch-size has {} values, but a mixture by --train is one cell; give one", batch.size());
  }
  return {{batch.front(), mixture_parts(merged, "train"), mixture_parts(merged, "test")}};
}

}  // namespace zoo
