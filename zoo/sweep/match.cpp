#include "zoo/sweep/match.h"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

constexpr std::array<std::string_view, 3> quantity_names = {"parameters", "state", "flops"};
constexpr std::int64_t width_step = 8;
constexpr std::int64_t widest = 4096;

// The quantity at the first possible width from `width` on, in steps of `by`, within [8, 4096].
struct Found {
  std::int64_t width = 0;
  double quantity = 0;
};

std::optional<Found> find_from(std::int64_t width, std::int64_t by, const Match& match,
                               const std::function<RunSpec(std::int64_t)>& at_width,
                               const std::function<RunEstimate(const RunSpec&)>& estimate) {
  // A layer whose options need a multiple of more than this is not looked for.
  constexpr int attempts = 32;
  for (int attempt = 0; attempt < attempts && width >= width_step && width <= widest; ++attempt, width += by) {
    try {
      return Found{width, quantity_of(match.quantity, estimate(at_width(width)))};
    } catch (const UsageError&) {
      continue;
    }
  }
  return std::nullopt;
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

std::int64_t matched_width(const Match& match, const std::function<RunSpec(std::int64_t)>& at_width,
                           const std::function<RunEstimate(const RunSpec&)>& estimate) {
  const auto from = [&](std::int64_t width, std::int64_t by) {
    return find_from(width, by, match, at_width, estimate);
  };
  // Doubling until the target lies below, then halving the interval.
  std::optional<Found> below, above;
  for (std::int64_t width = width_step; width <= widest && !above; width *= 2) {
    const auto found = from(width, width_step);
    if (!found) continue;
    (found->quantity < match.target ? below : above) = found;
    width = std::max(width, found->width / 2);
  }
  while (below && above) {
    const std::int64_t middle = (below->width + above->width) / 2 / width_step * width_step;
    auto found = from(std::max(middle, below->width + width_step), width_step);
    if (!found || found->width >= above->width) found = from(middle, -width_step);
    if (!found || found->width <= below->width) break;
    (found->quantity < match.target ? below : above) = found;
  }
  const auto distance = [&](const std::optional<Found>& found) {
    return found && found->quantity > 0 ? std::abs(std::log(found->quantity / match.target)) : INFINITY;
  };
  const auto& nearest = distance(below) <= distance(above) ? below : above;
  if (distance(nearest) > std::log(2.0)) {
    const RunSpec example = at_width(64);
    throw UsageError("layer {} has no width from {} to {} at which {} come within a factor of two of {}",
                     example.subject.at("layer").get<std::string>(), width_step, widest, quantity_name(match.quantity),
                     match.target);
  }
  return nearest->width;
}

}  // namespace zoo
