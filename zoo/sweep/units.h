#pragma once

#include <cstdint>
#include <string>

/// Quantities as people read them.
namespace zoo {

/// "4 s", "3 min 20 s", "5 h 12 min", "3.2 days".
std::string human_seconds(double seconds);
/// "512 B", "16 KiB", "1.5 MiB".
std::string human_bytes(std::int64_t bytes);
/// With the metric prefix: "12.3 GFLOP", "980 FLOP".
std::string human_flops(double flops);

}  // namespace zoo
