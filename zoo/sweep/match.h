#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "zoo/train/run.h"

namespace zoo {

/// Widths that make layers equal in something: each layer gets the d_model at which it is nearest to the target.
struct Match {
  enum class Quantity { parameters, state, flops };
  Quantity quantity = Quantity::parameters;
  double target = 0;  ///< values, bytes (after the longest test sequence, batch 1), or FLOPs of the whole training
};

/// Reads "parameters=100000", "state=32768" or "flops=1e12". Throws UsageError.
Match parse_match(const std::string& text);
std::string_view quantity_name(Match::Quantity quantity);
/// What a run has of the quantity.
double quantity_of(Match::Quantity quantity, const RunEstimate& estimate);

/// The width, a multiple of 8 from 8 to 4096, at which the run that `at_width` gives is nearest to the target; widths
/// that the layer cannot have (heads that do not divide it) are passed over. The quantity must grow with the width.
/// Throws UsageError when no width is within a factor of two of the target.
std::int64_t matched_width(const Match& match, const std::function<RunSpec(std::int64_t d_model)>& at_width,
                           const std::function<RunEstimate(const RunSpec&)>& estimate);

}  // namespace zoo
