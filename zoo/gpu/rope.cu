#include "zoo/gpu/each.h"
#include "zoo/gpu/rope.h"

namespace zoo::gpu {

namespace {

// A pair of channels.
struct Rope {
  const float* x;
  const float* cosines;
  const float* sines;
  float* y;
  int table_rows;
  int heads;
  int pairs;
  bool interleaved;
  bool inverse;

  __device__ void operator()(int i) const {
    const int pair = i % pairs;
    const int head_row = i / pairs;
    const int row = head_row / heads % table_rows;
    const std::ptrdiff_t origin = static_cast<std::ptrdiff_t>(head_row) * 2 * pairs;
    const std::ptrdiff_t first = origin + (interleaved ? 2 * pair : pair);
    const std::ptrdiff_t second = interleaved ? first + 1 : first + pairs;
    const float cosine = cosines[row * pairs + pair];
    const float sine = inverse ? -sines[row * pairs + pair] : sines[row * pairs + pair];
    const float a = x[first];
    const float b = x[second];
    y[first] = a * cosine - b * sine;
    y[second] = b * cosine + a * sine;
  }
};

}  // namespace

void rope(const cpu::RopeExtents& extents, const float* x, const float* cosines, const float* sines, bool interleaved,
          bool inverse, float* y, Stream& stream) {
  launch_each(
      "rope", extents.rows * extents.heads * extents.pairs,
      Rope{x, cosines, sines, y, extent("rope", "the rows of the table", extents.table_rows),
           extent("rope", "heads", extents.heads), extent("rope", "pairs", extents.pairs), interleaved, inverse},
      stream);
}

}  // namespace zoo::gpu
