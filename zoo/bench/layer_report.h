#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "zoo/bench/layer.h"

namespace zoo {

/// All figures of one layer.
struct LayerFigures {
  std::string name;
  nlohmann::json options;
  std::int64_t parameters = 0;
  std::vector<LayerSpeed> speeds;     ///< a sequence length each
  std::vector<DecodeSpeed> decoding;  ///< a position each
};

/// All figures of a benchmark, and what the machine reached on large products meanwhile.
struct LayerReport {
  LayerBenchmark benchmark;
  double sgemm_flops = 0;  ///< FLOP/s
  nlohmann::json environment;
  std::vector<LayerFigures> layers;
};

/// Everything, times in seconds.
nlohmann::json as_json(const LayerReport& report);
/// Two tables for a terminal: by sequence length, and of decoding. Times are medians.
std::string as_text(const LayerReport& report);
/// A page of HTML that needs nothing beside it: plots of time per token, share of the large-product rate and memory
/// against the sequence length, the tables, and how it was measured. Throws Error when gnuplot cannot draw.
std::string as_html(const LayerReport& report);

}  // namespace zoo
