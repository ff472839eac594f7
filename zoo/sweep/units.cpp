#include "zoo/sweep/units.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>

namespace zoo {

namespace {

template <std::size_t N>
std::string scaled(double number, double step, const std::array<std::string_view, N>& units) {
  std::size_t unit = 0;
  while (unit + 1 < N && number >= 0.9995 * step) {
    number /= step;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", number, unit == 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2, units[unit]);
}

}  // namespace

std::string human_seconds(double seconds) {
  const double whole = std::round(seconds);
  if (whole < 60) return fmt::format("{:.0f} s", whole);
  const auto both = [](double total, double size, const char* large, const char* small) {
    const std::string text = fmt::format("{:.0f} {}", std::floor(total / size), large);
    const double rest = std::fmod(total, size);
    return rest == 0 ? text : fmt::format("{} {:.0f} {}", text, rest, small);
  };
  if (whole < 3600) return both(whole, 60, "min", "s");
  const double minutes = std::round(seconds / 60);
  if (minutes < 24 * 60) return both(minutes, 60, "h", "min");
  return fmt::format("{:.1f} days", seconds / 86400);
}

std::string human_bytes(std::int64_t bytes) {
  constexpr std::array<std::string_view, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(static_cast<double>(bytes), 1024, units);
}

std::string human_flops(double flops) {
  constexpr std::array<std::string_view, 7> units = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"};
  return scaled(flops, 1000, units);
}

}  // namespace zoo
