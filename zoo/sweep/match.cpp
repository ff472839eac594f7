#include "zoo/sweep/match.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/nn/layer.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

constexpr std::array<std::string_view, 3> quantity_names = {"parameters", "state", "flops"};
// Numbers that are tried: first * step, (first + 1) * step, ... last * step.
struct Candidates {
  std::string name;  ///< "width"
  double step = 1;
  std::int64_t first = 1;
  std::int64_t last = 1;

  double at(std::int64_t index) const { return static_cast<double>(index) * step; }
};

// A candidate that the layer can have, and the quantity there.
struct Found {
  std::int64_t index = 0;
  double quantity = 0;
};

// Looks for the candidate whose run is nearest to what is to be matched.
class Search {
 public:
  Search(const Match& match, const Candidates& candidates, std::function<RunSpec(double)> run_at,
         const std::function<RunEstimate(const RunSpec&)>& estimate)
      : match_(match), candidates_(candidates), run_at_(std::move(run_at)), estimate_(estimate) {}

  RunSpec nearest() const {
    // Doubling until the target lies below, then halving the interval.
    std::optional<Found> below, above;
    for (std::int64_t index = candidates_.first; index <= candidates_.last && !above; index *= 2) {
      const auto found = find_from(index, 1);
      if (!found) continue;
      (found->quantity < match_.target ? below : above) = found;
      index = std::max(index, found->index / 2);
    }
    while (below && above) {
      const std::int64_t middle = (below->index + above->index) / 2;
      auto found = find_from(std::max(middle, below->index + 1), 1);
      if (!found || found->index >= above->index) found = find_from(middle, -1);
      if (!found || found->index <= below->index) break;
      (found->quantity < match_.target ? below : above) = found;
    }
    const auto distance = [&](const std::optional<Found>& found) {
      return found && found->quantity > 0 ? std::abs(std::log(found->quantity / match_.target)) : INFINITY;
    };
    const auto& nearest = distance(below) <= distance(above) ? below : above;
    if (distance(nearest) > std::log(2.0)) {
      throw UsageError("layer {} has no {} from {} to {} at which {} come within a factor of two of {}",
                       run_at_(candidates_.at(candidates_.first)).subject.at("layer").get<std::string>(),
                       candidates_.name, candidates_.at(candidates_.first), candidates_.at(candidates_.last),
                       quantity_name(match_.quantity), match_.target);
    }
    return run_at_(candidates_.at(nearest->index));
  }

 private:
  // The first possible candidate from `index` on, up or down.
  std::optional<Found> find_from(std::int64_t index, std::int64_t by) const {
    // A layer whose options need a multiple of more than this is not looked for.
    constexpr int attempts = 32;
    for (int attempt = 0; attempt < attempts && index >= candidates_.first && index <= candidates_.last;
         ++attempt, index += by) {
      try {
        return Found{index, quantity_of(match_.quantity, estimate_(run_at_(candidates_.at(index))))};
      } catch (const UsageError&) {
        continue;
      }
    }
    return std::nullopt;
  }

  const Match& match_;
  const Candidates& candidates_;
  std::function<RunSpec(double)> run_at_;
  const std::function<RunEstimate(const RunSpec&)>& estimate_;
};

StateOption only_state_option(const nlohmann::json& subject) {
  const std::vector<StateOption> all = state_options_of(subject);
  if (all.size() == 1) return all.front();
  throw UsageError(
      "layer {} has {} options that set how large its state is at a given width, and --match state with --d-model "
      "chooses one; without --d-model it chooses the width",
      subject.at("layer").get<std::string>(), all.empty() ? "no" : "several");
}

}  // namespace

std::string_view quantity_name(Match::Quantity quantity) {
  return quantity_names[static_cast<std::size_t>(quantity)];
}

double quantity_of(Match::Quantity quantity, const RunEstimate& estimate) {
  switch (quantity) {
    case Match::Quantity::parameters:
      return static_cast<double>(estimate.parameters);
    case Match::Quantity::state:
      return static_cast<double>(estimate.state_bytes);
    case Match::Quantity::flops:
      break;
  }
  return estimate.flops;
}

Match parse_match(const std::string& text) {
  const auto parts = split(text, '=');
  if (parts.size() != 2) {
    throw UsageError("--match is '{}'; write parameters=N, state=BYTES or flops=N, for example parameters=100000",
                     text);
  }
  const std::vector<std::string> names(quantity_names.begin(), quantity_names.end());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (parts[0] != names[i]) continue;
    const Match match{static_cast<Match::Quantity>(i), parse_real("--match " + parts[0], parts[1])};
    if (match.target <= 0) throw UsageError("--match {} must be above 0", text);
    return match;
  }
  throw UsageError("--match: {}", unknown_name_message("quantity", parts[0], names));
}

std::vector<StateOption> state_options_of(const nlohmann::json& subject) {
  std::vector<StateOption> all;
  for (const auto& [key, options] : subject.at("layer_options").items()) {
    const LayerEntry* entry = layer_registry().find(key.substr(0, key.find('#')));
    if (entry == nullptr) continue;
    for (const OptionSpec& spec : entry->options.specs()) {
      if (spec.sets_state) all.push_back({key, spec, options.value(spec.name, spec.default_value)});
    }
  }
  return all;
}

RunSpec with_matched_width(const Match& match, const RunSpec& run,
                           const std::function<RunEstimate(const RunSpec&)>& estimate) {
  const Candidates widths = {.name = "width", .step = 8, .first = 1, .last = 512};
  const auto run_at = [&](double width) {
    RunSpec changed = run;
    changed.axes.erase("d_model");
    changed.subject["d_model"] = static_cast<std::int64_t>(width);
    return changed;
  };
  return Search(match, widths, run_at, estimate).nearest();
}

RunSpec with_matched_state(const Match& match, const RunSpec& run,
                           const std::function<RunEstimate(const RunSpec&)>& estimate) {
  constexpr double most = 65536;
  const StateOption option = only_state_option(run.subject);
  const bool whole = option.spec.type == OptionType::integer;
  Candidates numbers = {.name = "option " + option.spec.name, .step = whole ? 1.0 : 1.0 / 16};
  numbers.first = std::max<std::int64_t>(1, std::llround(std::ceil(option.spec.minimum / numbers.step)));
  numbers.last = std::llround(std::floor(std::min(option.spec.maximum, most) / numbers.step));
  const auto run_at = [&](double number) {
    RunSpec changed = run;
    nlohmann::json& value = changed.subject["layer_options"][option.key][option.spec.name];
    if (whole) {
      value = static_cast<std::int64_t>(number);
    } else {
      value = number;
    }
    return changed;
  };
  return Search(match, numbers, run_at, estimate).nearest();
}

}  // namespace zoo
