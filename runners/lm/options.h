#pragma once

#include <boost/program_options.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/lm/plan.h"
#include "zoo/lm/run.h"

namespace zoo {

/// The options of a language model and of its training, which `zoo lm train`, `compare` and `ablate` share.
boost::program_options::options_description lm_choice_options();
/// What they chose for these layers. Throws UsageError for what cannot be read.
LmChoices read_lm_choices(const boost::program_options::variables_map& values, const std::vector<std::string>& layers);

/// What of these options is for this layer, or for parts of this hybrid.
std::map<std::string, nlohmann::json> options_for(const std::string& layer,
                                                  const std::map<std::string, nlohmann::json>& layer_options);

/// The text of an option that `zoo lm COMMAND` cannot do without. Throws UsageError when it is absent or empty.
std::string needed_option(std::string_view command, const boost::program_options::variables_map& values,
                          const char* name);

/// The options of how a run is made: --micro-batch, --recompute, --keep, --checkpoint-every.
boost::program_options::options_description lm_run_options();
struct LmRunRequest {
  std::optional<std::int64_t> micro_batch;
  bool recompute = false;
  int keep = 2;
  std::int64_t checkpoint_every = 0;
};
LmRunRequest read_lm_run_options(const boost::program_options::variables_map& values);

}  // namespace zoo
