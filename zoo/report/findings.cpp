#include "zoo/report/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "zoo/report/format.h"

namespace zoo::report {

namespace {

constexpr double visible_gap = 0.02;  // differences below this are not called a gap

// A mean accuracy and where it stands in its table.
struct PlacedResult {
  const Row* row = nullptr;
  std::size_t column = 0;

  const Result& result() const { return row->results[column]; }
  double mean() const { return result().accuracy.mean; }
};

std::vector<PlacedResult> places_of(const Table& table, std::size_t subject) {
  std::vector<PlacedResult> places;
  for (const Row& row : table.rows) {
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      if (row.subject == subject && row.results[column].has_figures()) places.push_back({&row, column});
    }
  }
  return places;
}

bool has_one_place(const Table& table) {
  return table.columns.size() == 1;
}

std::string where(const Table& table, const PlacedResult& place) {
  const std::string width = "d_model " + place.row->width;
  return has_one_place(table) ? width : table.columns[place.column].label + ", " + width;
}

std::string with_state(const Result& result) {
  return result.state_bytes ? " with " + format_bytes(static_cast<double>(*result.state_bytes)) + " of state" : "";
}

// The places of one subject, from the lowest accuracy to the highest.
struct Standing {
  std::string label;
  std::size_t places;
  std::size_t solved;
  PlacedResult worst;
  PlacedResult best;
};

std::vector<Standing> standings(const Table& table) {
  std::vector<Standing> all;
  for (std::size_t subject = 0; subject < table.subjects.size(); ++subject) {
    const std::vector<PlacedResult> places = places_of(table, subject);
    if (places.empty()) continue;
    const auto [worst, best] = std::ranges::minmax_element(places, {}, &PlacedResult::mean);
    const auto solved = std::ranges::count_if(
        places, [&](const PlacedResult& place) { return place.mean() >= solved_accuracy(table); });
    all.push_back({table.subjects[subject].label, places.size(), static_cast<std::size_t>(solved), *worst, *best});
  }
  return all;
}

// The sentence that stands for the whole: who solves everything, and who stays furthest behind.
std::string first_sentence(const Table& table, const std::vector<Standing>& all) {
  std::vector<std::string> everywhere;
  double lowest = 1;
  for (const Standing& one : all) {
    if (one.solved < one.places) continue;
    everywhere.push_back(one.label);
    lowest = std::min(lowest, one.worst.mean());
  }
  std::string text;
  const bool widths = std::ranges::any_of(table.rows, [&](const Row& row) { return row.width != table.rows[0].width; });
  const std::string places = !widths                ? has_one_place(table) ? "the task" : "every cell"
                             : has_one_place(table) ? "the task at every width"
                                                    : "every combination of cell and width";
  if (everywhere.empty()) {
    text = fmt::format("No layer solves {} (accuracy {} or more)", places, format_exact(solved_accuracy(table)));
  } else {
    text = fmt::format("{} {} {} (accuracy {} or more)", joined(everywhere),
                       everywhere.size() == 1 ? "solves" : "solve", places, format_accuracy(lowest));
  }
  const auto behind = std::ranges::min_element(all, {}, [](const Standing& one) { return one.best.mean(); });
  if (behind->solved > 0 || all.size() == 1) return text + ".";
  return text + fmt::format("; {} reaches {}{}.", behind->label, format_accuracy(behind->best.mean()),
                            behind->places > 1 ? " at most" : "");
}

// Those that solve something, a sentence each; those that solve nothing, all in one.
std::vector<std::string> solving_sentences(const Table& table, const std::vector<Standing>& all) {
  std::vector<std::string> sentences;
  std::vector<std::string> unsolving;
  for (const Standing& one : all) {
    if (one.places < 2 || one.solved == one.places) continue;
    const std::string lowest = format_accuracy(one.worst.mean());
    if (one.solved > 0) {
      sentences.push_back(fmt::format("{} solves {} of {} combinations; its lowest accuracy is {} ({}).", one.label,
                                      one.solved, one.places, lowest, where(table, one.worst)));
    } else {
      unsolving.push_back(fmt::format("{} ({} to {})", one.label, lowest, format_accuracy(one.best.mean())));
    }
  }
  if (!unsolving.empty()) sentences.push_back(fmt::format("Nothing is solved by {}.", joined(unsolving)));
  return sentences;
}

// The widest gap between two subjects at the same width on the same column.
std::string gap_sentence(const Table& table) {
  std::map<std::pair<std::size_t, std::string>, std::vector<PlacedResult>> meetings;
  for (std::size_t subject = 0; subject < table.subjects.size(); ++subject) {
    for (const PlacedResult& place : places_of(table, subject))
      meetings[{place.column, place.row->width}].push_back(place);
  }
  double widest = -1;
  PlacedResult high, low;
  for (const auto& [key, places] : meetings) {
    if (places.size() < 2) continue;
    const auto [worst, best] = std::ranges::minmax_element(places, {}, &PlacedResult::mean);
    const double gap = best->mean() - worst->mean();
    if (gap > widest) widest = gap, high = *best, low = *worst;
  }
  if (widest < 0) return "";
  const std::string place = where(table, high);
  if (widest < visible_gap) {
    return fmt::format("At equal width no two layers are further apart than {:.3f} ({}).", widest, place);
  }
  std::string text = fmt::format(
      "The widest gap at equal width is {:.3f}, at {}: {} has {}{}, {} has {}{}.", widest, place,
      table.subjects[high.row->subject].label, format_accuracy(high.result().accuracy), with_state(high.result()),
      table.subjects[low.row->subject].label, format_accuracy(low.result().accuracy), with_state(low.result()));
  const Estimate& above = high.result().accuracy;
  const Estimate& below = low.result().accuracy;
  if (above.has_interval() && below.has_interval()) {
    const bool apart = above.mean - above.half_width > below.mean + below.half_width;
    text += apart ? " Their 95% intervals are apart." : " Their 95% intervals overlap.";
  } else {
    text += " With one seed each, nothing is known of the spread between seeds.";
  }
  return text;
}

// What a greater width changes, where it changes most.
std::string width_sentence(const Table& table) {
  double largest = visible_gap;
  std::string text;
  for (std::size_t subject = 0; subject < table.subjects.size(); ++subject) {
    const std::vector<PlacedResult> places = places_of(table, subject);
    for (const PlacedResult& a : places) {
      for (const PlacedResult& b : places) {
        const double change = b.mean() - a.mean();
        if (a.column != b.column || a.row->d_model >= b.row->d_model || std::abs(change) <= largest) continue;
        largest = std::abs(change);
        text = fmt::format("Width changes most for {}{}: from d_model {} to {} its accuracy goes from {} to {}.",
                           table.subjects[subject].label,
                           has_one_place(table) ? "" : " at " + table.columns[a.column].label, a.row->width,
                           b.row->width, format_accuracy(a.mean()), format_accuracy(b.mean()));
      }
    }
  }
  return text;
}

// How the state grows with the sequence, at the first width at which it was measured at two lengths.
std::string state_sentence(const Table& table) {
  std::vector<std::string> growing, constant;
  double shortest = INFINITY, longest = 0;
  for (std::size_t subject = 0; subject < table.subjects.size(); ++subject) {
    for (const Row& row : table.rows) {
      if (row.subject != subject) continue;
      std::map<double, std::int64_t> bytes;  // by sequence length
      for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const nlohmann::json& slice = table.columns[i].slice;
        if (!slice.is_object() || !slice.contains("seq_len") || !slice["seq_len"].is_number()) continue;
        if (row.results[i].state_bytes) bytes[slice["seq_len"].get<double>()] = *row.results[i].state_bytes;
      }
      if (bytes.size() < 2) continue;
      const auto [first, last] = std::pair(*bytes.begin(), *bytes.rbegin());
      shortest = std::min(shortest, first.first);
      longest = std::max(longest, last.first);
      const std::string& label = table.subjects[subject].label;
      if (first.second == last.second) {
        constant.push_back(fmt::format("{} ({})", label, format_bytes(static_cast<double>(first.second))));
      } else {
        growing.push_back(fmt::format("{} ({} to {})", label, format_bytes(static_cast<double>(first.second)),
                                      format_bytes(static_cast<double>(last.second))));
      }
      break;
    }
  }
  if (growing.empty() && constant.empty()) return "";
  std::string text = fmt::format("From T {} to T {}, each at its smallest width, the state", shortest, longest);
  if (!growing.empty()) text += " grows for " + joined(growing);
  if (!constant.empty()) text += (growing.empty() ? "" : " and") + (" stays the same for " + joined(constant));
  return text + ".";
}

}  // namespace

double solved_accuracy(const Table& table) {
  const nlohmann::json given = field(table.setting, "stop_accuracy");
  return given.is_number() ? given.get<double>() : 0.99;
}

std::vector<std::string> findings(const Table& table) {
  const std::vector<Standing> all = standings(table);
  if (all.empty()) return {};
  std::vector<std::string> sentences = {first_sentence(table, all)};
  const auto add = [&](const std::string& sentence) {
    if (!sentence.empty()) sentences.push_back(sentence);
  };
  add(gap_sentence(table));
  for (const std::string& sentence : solving_sentences(table, all)) add(sentence);
  add(width_sentence(table));
  add(state_sentence(table));
  return sentences;
}

}  // namespace zoo::report
