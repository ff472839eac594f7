#include <algorithm>
#include <optional>

#include "zoo/gpu/attention_tile.h"
#include "zoo/gpu/extent.h"

namespace zoo::gpu::attention {

namespace {

constexpr const char* family = "attention";

}  // namespace

Extents checked(const cpu::AttentionSizes& sizes) {
  if (!(sizes.dropout >= 0 && sizes.dropout < 1))
    throw Error("attention on the GPU: dropout is {}; it must lie in [0, 1)", sizes.dropout);
  Extents result = {.batch = extent(family, "batch", sizes.batch),
                    .queries = extent(family, "queries", sizes.queries),
                    .keys = extent(family, "keys", sizes.keys),
                    .heads = extent(family, "heads", sizes.heads, 1),
                    .kv_heads = extent(family, "kv_heads", sizes.kv_heads, 1),
                    .d = extent(family, "d", sizes.d, 1),
                    .dv = extent(family, "dv", sizes.dv, 1),
                    .window = 0,
                    .first_query = extent(family, "first_query", sizes.first_query),
                    .scale = static_cast<float>(sizes.scale),
                    .kept = static_cast<float>(1 / (1 - sizes.dropout)),
                    .dropout_threshold = static_cast<unsigned>(std::lround(sizes.dropout * 65536)),
                    .random = sizes.random,
                    .first_sequence = sizes.first_sequence};
  require_extent(sizes.heads % sizes.kv_heads == 0, family, "heads", sizes.heads, "it must be a multiple of kv_heads");
  require_extent(sizes.first_query + sizes.queries <= sizes.keys, family, "keys", sizes.keys,
                 "each query needs its own key: first_query + queries at least");
  require_extent(sizes.window >= 0, family, "window", sizes.window,
                 "it must be 0, for all of the past, or a number of keys");
  const bool all = sizes.window == 0 || sizes.window >= sizes.keys;
  result.window = all ? result.keys : static_cast<int>(sizes.window);
  return result;
}

Extents checked(const cpu::AttentionSizes& sizes, const cpu::AttentionInputs<float>& inputs) {
  if (inputs.rows != nullptr)
    throw Error("attention on the GPU computes all queries; it was given rows: compute all and gather them");
  return checked(sizes);
}

LaunchShape choose_shape(const char* kernel, int rows, std::uint64_t heads, int slices, int floats_a_row,
                         int floats_besides) {
  const Device& limits = device();
  const auto with_warps = [&](int warps) {
    const auto floats = std::size_t{1} * warps * tile_rows * floats_a_row + floats_besides;
    return LaunchShape{.kernel = kernel,
                       .blocks = heads * blocks_of(rows, warps * tile_rows) * slices,
                       .slices = static_cast<unsigned>(slices),
                       .threads = static_cast<unsigned>(warps) * 32,
                       .shared_bytes = floats * sizeof(float)};
  };
  const auto largest = [&](unsigned resident) -> std::optional<LaunchShape> {
    for (int warps = std::clamp(blocks_of(rows, tile_rows), 1, most_warps); warps > 0; --warps) {
      const LaunchShape shape = with_warps(warps);
      if (shape.shared_bytes <= limits.shared_bytes_per_block && resident_blocks(shape) >= resident) return shape;
    }
    return std::nullopt;
  };
  const std::optional<LaunchShape> alone = largest(1);
  const std::optional<LaunchShape> beside = largest(2);
  if (beside && beside->threads * resident_blocks(*beside) >= alone->threads) return *beside;
  if (alone) return *alone;
  throw Error(
      "{} on {}: a block of 16 rows needs {} bytes of shared memory for heads this wide, of which it can have {}; use "
      "more heads of fewer columns",
      kernel, limits.name, with_warps(1).shared_bytes, limits.shared_bytes_per_block);
}

}  // namespace zoo::gpu::attention
