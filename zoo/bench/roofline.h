#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zoo/core/profile.h"

namespace zoo {

/// What a GPU reaches at most, by its maker's data sheet.
struct DeviceLimits {
  std::string name;
  double float32_flops = 0;  ///< FLOP/s of plain float32
  double tf32_flops = 0;     ///< FLOP/s of dense products on tensor cores that round their inputs to TF32
  double memory_bytes = 0;   ///< bytes/s
  /// bytes/s of all multiprocessors' shared memories: 32 banks of 4 bytes a cycle each (CUDA C++ programming guide,
  /// compute capabilities 8.x and 9.0) at the clock of the FLOP/s above.
  double shared_bytes = 0;
};
/// NVIDIA's H100 SXM5 80 GB and A100 SXM4 80 GB, in the order of SharedBytes.
std::span<const DeviceLimits> known_devices();

/// What takes longest.
enum class Bound { arithmetic, memory, shared_memory };
/// "arithmetic", "memory" or "shared memory".
std::string_view bound_name(Bound bound);

/// What an op computes and moves.
struct OpWork {
  double flops = 0;
  double bytes = 0;         ///< to and from device memory
  double shared_bytes = 0;  ///< through shared memory; 0 where that is not modelled
};

/// The roofline of an op (Williams, Waterman and Patterson 2009), with shared memory as another roof: what its FLOPs or
/// either of its bytes take at a device's limits, whichever is longest, in seconds.
struct Roofline {
  double float32_seconds = 0;
  double tf32_seconds = 0;
  double shared_seconds = 0;        ///< of the bytes through shared memory alone
  Bound binds = Bound::arithmetic;  ///< in float32
};
Roofline roofline(const OpWork& work, const DeviceLimits& device);

/// The ops of one forward and backward pass of a layer on sequences of one length, the longest on the first device
/// first.
struct LayerRoofline {
  std::string layer;
  std::int64_t seq_len = 0;
  std::vector<Profile::Entry> ops;  ///< those that neither compute products nor move memory are left out
  bool shared_traffic = false;      ///< whether shared memory is modelled
};
LayerRoofline make_roofline(const std::string& layer, std::int64_t seq_len, std::vector<Profile::Entry> ops,
                            bool shared_traffic);

/// Everything, times in seconds.
nlohmann::json as_json(std::span<const LayerRoofline> layers);
/// A table for a terminal for each layer and length, with the sums, and a note that all of it is calculated.
std::string as_text(std::span<const LayerRoofline> layers);

}  // namespace zoo
