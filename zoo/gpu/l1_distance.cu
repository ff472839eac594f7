#include "zoo/gpu/extent.h"
#include "zoo/gpu/l1_distance.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/shared_rows.h"

namespace zoo::gpu {

namespace {

constexpr int warps = 8;
constexpr int rows_a_warp = 4;
constexpr int tile = warps * rows_a_warp;  // rows of either side, and channels
constexpr int pitch = tile + 1;

struct Extents {
  int batch, queries, keys, heads, d;
};

// What a block computes of one head: 32 rows, and 32 of something else.
struct Place {
  int lane, first_row, row, column, head, sequence;  // row is the warp's first

  __device__ Place(int heads, int rows, int columns)
      : lane(static_cast<int>(threadIdx.x) % 32), first_row(0), row(0), column(0), head(0), sequence(0) {
    const int block = static_cast<int>(blockIdx.x);
    const int row_blocks = blocks_of(rows, tile);
    const int column_blocks = blocks_of(columns, tile);
    first_row = block % row_blocks * tile;
    row = first_row + static_cast<int>(threadIdx.x) / 32 * rows_a_warp;
    column = block / row_blocks % column_blocks * tile;
    head = block / row_blocks / column_blocks % heads;
    sequence = block / row_blocks / column_blocks / heads;
  }
};

// 32 numbers of each of 32 rows to shared memory, a warp a row; zeros where there are none.
template <typename Element>
__device__ __forceinline__ void load(float* to, const Element& element) {
  for (int row = static_cast<int>(threadIdx.x) / 32; row < tile; row += warps)
    to[row * pitch + threadIdx.x % 32] = element(row, static_cast<int>(threadIdx.x) % 32);
}

// Rows of a head of a tensor [B,length,H,d].
struct Head {
  const float* origin;
  std::ptrdiff_t stride;
  int length, d;

  __device__ Head(const float* tensor, const Extents& sizes, const Place& place, int rows)
      : origin(tensor + (static_cast<std::ptrdiff_t>(place.sequence) * rows * sizes.heads + place.head) * sizes.d),
        stride(static_cast<std::ptrdiff_t>(sizes.heads) * sizes.d),
        length(rows),
        d(sizes.d) {}
  __device__ float operator()(int row, int channel) const {
    return row < length && channel < d ? origin[row * stride + channel] : 0.0F;
  }
};

// 32 queries and 32 keys; a thread 4 queries and one key.
__global__ void __launch_bounds__(warps * 32)
    forward_kernel(Extents sizes, const float* __restrict__ q, const float* __restrict__ k,
                   float* __restrict__ distances) {
  auto* queries = shared_memory<float>();
  float* keys = queries + tile * pitch;
  const Place place(sizes.heads, sizes.queries, sizes.keys);
  const Head from_q(q, sizes, place, sizes.queries);
  const Head from_k(k, sizes, place, sizes.keys);
  const float* own = queries + (place.row - place.first_row) * pitch;
  float sums[rows_a_warp] = {};
  for (int channel = 0; channel < sizes.d; channel += tile) {
    __syncthreads();
    load(queries, [&](int row, int i) { return from_q(place.first_row + row, channel + i); });
    load(keys, [&](int row, int i) { return from_k(place.column + row, channel + i); });
    __syncthreads();
    for (int i = 0; i < tile; ++i) {
      const float key = keys[place.lane * pitch + i];
      for (int row = 0; row < rows_a_warp; ++row) sums[row] += fabsf(own[row * pitch + i] - key);
    }
  }
  const int key = place.column + place.lane;
  const std::ptrdiff_t of_head = static_cast<std::ptrdiff_t>(place.sequence) * sizes.heads + place.head;
  for (int row = 0; row < rows_a_warp; ++row) {
    const int query = place.row + row;
    if (query < sizes.queries && key < sizes.keys)
      distances[(of_head * sizes.queries + query) * sizes.keys + key] = sums[row];
  }
}

// The gradients of 32 queries in 32 channels, sum_s g_ts sign(q_t - k_s), or `of_keys` of keys, which are the same with
// both sides exchanged; a thread 4 rows in one channel.
__global__ void __launch_bounds__(warps * 32)
    backward_kernel(Extents sizes, bool of_keys, const float* __restrict__ own, const float* __restrict__ other,
                    const float* __restrict__ ddistances, float* __restrict__ down) {
  auto* others = shared_memory<float>();
  float* gradients = others + tile * pitch;
  const int own_rows = of_keys ? sizes.keys : sizes.queries;
  const int other_rows = of_keys ? sizes.queries : sizes.keys;
  const Place place(sizes.heads, own_rows, sizes.d);
  const Head from_own(own, sizes, place, own_rows);
  const Head from_other(other, sizes, place, other_rows);
  const int channel = place.column + place.lane;
  const std::ptrdiff_t of_head = static_cast<std::ptrdiff_t>(place.sequence) * sizes.heads + place.head;
  const float* pairs = ddistances + of_head * sizes.queries * sizes.keys;
  const auto gradient = [&](int query, int key) {
    return query < sizes.queries && key < sizes.keys ? pairs[static_cast<std::ptrdiff_t>(query) * sizes.keys + key]
                                                     : 0.0F;
  };
  float values[rows_a_warp];
  float sums[rows_a_warp] = {};
  for (int row = 0; row < rows_a_warp; ++row) values[row] = from_own(place.row + row, channel);
  // [own][other], or [other][own]: rows of ddistances either way.
  const int own_stride = of_keys ? 1 : pitch;
  const int other_stride = of_keys ? pitch : 1;
  const float* weights = gradients + (place.row - place.first_row) * own_stride;
  for (int first = 0; first < other_rows; first += tile) {
    __syncthreads();
    load(others, [&](int row, int i) { return from_other(first + row, place.column + i); });
    load(gradients, [&](int row, int i) {
      return of_keys ? gradient(first + row, place.first_row + i) : gradient(place.first_row + row, first + i);
    });
    __syncthreads();
    for (int s = 0; s < tile; ++s) {
      const float value = others[s * pitch + place.lane];
      for (int row = 0; row < rows_a_warp; ++row) {
        const float weight = weights[row * own_stride + s * other_stride];
        if (values[row] > value) sums[row] += weight;
        if (values[row] < value) sums[row] -= weight;
      }
    }
  }
  for (int row = 0; row < rows_a_warp; ++row) {
    if (place.row + row >= own_rows || channel >= sizes.d) continue;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(place.sequence) * own_rows + place.row + row;
    down[(at * sizes.heads + place.head) * sizes.d + channel] = sums[row];
  }
}

Extents checked(const cpu::DistanceSizes& sizes) {
  const char* family = "l1_distance";
  return {extent(family, "batch", sizes.batch), extent(family, "queries", sizes.queries),
          extent(family, "keys", sizes.keys), extent(family, "heads", sizes.heads), extent(family, "d", sizes.d)};
}

LaunchShape shape_of(const char* kernel, const Extents& sizes, int rows, int columns) {
  return {.kernel = kernel,
          .blocks = std::uint64_t{1} * sizes.batch * sizes.heads * blocks_of(rows, tile) * blocks_of(columns, tile),
          .threads = warps * 32,
          .shared_bytes = sizeof(float) * 2 * tile * pitch};
}

LaunchShape forward_shape(const Extents& sizes) {
  return shape_of("l1_distance", sizes, sizes.queries, sizes.keys);
}

// Of queries, or of keys.
LaunchShape backward_shape(const Extents& sizes, int rows) {
  return shape_of("l1_distance_gradient", sizes, rows, sizes.d);
}

// What the blocks of a launch move in all rounds of 32 channels or rows, in bytes: two squares are written, and of
// each term a thread reads a number of the one and in the other one of each of its rows.
double traffic_of(const LaunchShape& shape, int terms) {
  constexpr double written = 2.0 * tile * tile, read = 1.0 * warps * 32 * tile * (1 + rows_a_warp);
  return sizeof(float) * static_cast<double>(shape.blocks) * blocks_of(terms, tile) * (written + read);
}

}  // namespace

void l1_distance_forward(const cpu::DistanceSizes& sizes, const float* q, const float* k, float* distances,
                         Stream& stream) {
  const Extents extents = checked(sizes);
  launch_shape(forward_kernel, forward_shape(extents), stream, extents, q, k, distances);
}

void l1_distance_backward(const cpu::DistanceSizes& sizes, const float* q, const float* k, const float* ddistances,
                          float* dq, float* dk, Stream& stream) {
  const Extents extents = checked(sizes);
  launch_shape(backward_kernel, backward_shape(extents, extents.queries), stream, extents,
               /*of_keys=*/false, q, k, ddistances, dq);
  launch_shape(backward_kernel, backward_shape(extents, extents.keys), stream, extents,
               /*of_keys=*/true, k, q, ddistances, dk);
}

double l1_distance_forward_traffic(const cpu::DistanceSizes& sizes) {
  const Extents extents = checked(sizes);
  return traffic_of(forward_shape(extents), extents.d);
}

double l1_distance_backward_traffic(const cpu::DistanceSizes& sizes) {
  const Extents extents = checked(sizes);
  return traffic_of(backward_shape(extents, extents.queries), extents.keys) +
         traffic_of(backward_shape(extents, extents.keys), extents.queries);
}

}  // namespace zoo::gpu
