#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/options.h"
#include "zoo/train/run.h"

namespace zoo {

/// What makes layers equal in something: each layer gets the d_model at which it is nearest to the target or, where
/// widths are given too, the option that sets how large its state is (OptionSchema::sets_state).
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

/// An option of a subject that sets how large the state is at a given width.
struct StateOption {
  std::string key;  ///< whose it is, in the subject's layer_options: "mamba", "attention#2"
  OptionSpec spec;
  nlohmann::json value;
};
/// All that the subject's layers have; of a layer that is not registered none is known.
std::vector<StateOption> state_options_of(const nlohmann::json& subject);

/// The run, made of `run` by choosing its width (a multiple of 8 from 8 to 4096, moved from the axes to the subject),
/// that is nearest to the target; widths that the layer cannot have (heads that do not divide it) are passed over. The
/// quantity must grow with the width. Throws UsageError when no width is within a factor of two of the target.
RunSpec with_matched_width(const Match& match, const RunSpec& run,
                           const std::function<RunEstimate(const RunSpec&)>& estimate);

/// The same for the state, at the run's width: chooses the option that sets how large it is, whole numbers up to 65,536
/// or multiples of 1/16. Throws UsageError when the layer, or the parts of a hybrid together, do not have one such
/// option, too.
RunSpec with_matched_state(const Match& match, const RunSpec& run,
                           const std::function<RunEstimate(const RunSpec&)>& estimate);

}  // namespace zoo
