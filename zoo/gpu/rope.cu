#include <cmath>

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

// A cosine and a sine of the table.
struct RopeTable {
  RopePositions positions;
  int pairs;
  double base;
  float* cosines;
  float* sines;

  __device__ void operator()(int i) const {
    const int row = i / pairs;
    std::int64_t position = positions.first + row;
    if (positions.period > 0) position %= positions.period;
    if (positions.rows != nullptr) position = positions.rows[row];
    const double frequency = pow(base, -static_cast<double>(i % pairs) / pairs);
    const double angle = static_cast<double>(position) * frequency;
    cosines[i] = static_cast<float>(cos(angle));
    sines[i] = static_cast<float>(sin(angle));
  }
};

}  // namespace

void rope_table(const RopePositions& positions, std::int64_t rows, std::int64_t pairs, double base, float* cosines,
                float* sines, Stream& stream) {
  launch_each("rope", rows * pairs, RopeTable{positions, extent("rope", "pairs", pairs), base, cosines, sines}, stream);
}

void rope(const cpu::RopeExtents& extents, const float* x, const float* cosines, const float* sines, bool interleaved,
          bool inverse, float* y, Stream& stream) {
  launch_each(
      "rope", extents.rows * extents.heads * extents.pairs,
      Rope{x, cosines, sines, y, extent("rope", "the rows of the table", extents.table_rows),
           extent("rope", "heads", extents.heads), extent("rope", "pairs", extents.pairs), interleaved, inverse},
      stream);
}

}  // namespace zoo::gpu
