#include "tasks/common/picture_text.h"

#include <fmt/format.h>

namespace zoo {

std::string picture_text(std::span<const std::int32_t> pixels, std::int64_t side) {
  constexpr std::string_view shades = " .:-=+*#%@";
  std::string text = fmt::format("{} x {} pixels, row by row, black is 0:\n", side, side);
  const auto width = static_cast<std::size_t>(side);
  for (std::size_t t = 0; t < pixels.size(); ++t) {
    text += std::string(width > 64 ? 1 : 2, shades[static_cast<std::size_t>(pixels[t]) * (shades.size() - 1) / 255]);
    if (t % width != width - 1) continue;
    while (text.back() == ' ') text.pop_back();
    text += '\n';
  }
  return text;
}

}  // namespace zoo
