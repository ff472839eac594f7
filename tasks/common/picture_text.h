#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace zoo {

/// A square picture of `side` x `side` pixels, 0 (black) to 255, row by row, drawn in characters: two for each pixel,
/// or one where that would be wider than 128.
std::string picture_text(std::span<const std::int32_t> pixels, std::int64_t side);

}  // namespace zoo
