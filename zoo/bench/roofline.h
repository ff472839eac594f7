#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "zoo/core/profile.h"

namespace zoo {

/// What a GPU reaches at most, by its maker's data sheet.
struct DeviceLimits {
  std::string name;
  double float32_flops = 0;  ///< FLOP/s of plain float32
  double tf32_flops = 0;     ///< FLOP/s of dense products on tensor cores that round their inputs to TF32
  double memory_bytes = 0;   ///< bytes/s
};
/// NVIDIA's H100 SXM5 80 GB and A100 SXM4 80 GB.
std::span<const DeviceLimits> known_devices();

/// The roofline of an op (Williams, Waterman and Patterson 2009): what its FLOPs or its bytes take at a device's
/// limits, whichever is longer, in seconds.
struct Roofline {
  double float32_seconds = 0;
  double tf32_seconds = 0;
  bool memory_binds = false;  ///< in float32
};
Roofline roofline(double flops, double bytes, const DeviceLimits& device);

/// The ops of one forward and backward pass of a layer on sequences of one length, the longest on the first device
/// first.
struct LayerRoofline {
  std::string layer;
  std::int64_t seq_len = 0;
  std::vector<Profile::Entry> ops;  ///< those that neither compute products nor move memory are left out
};
LayerRoofline make_roofline(const std::string& layer, std::int64_t seq_len, std::vector<Profile::Entry> ops);

/// Everything, times in seconds.
nlohmann::json as_json(std::span<const LayerRoofline> layers);
/// A table for a terminal for each layer and length, with the sums, and a note that all of it is calculated.
std::string as_text(std::span<const LayerRoofline> layers);

}  // namespace zoo
