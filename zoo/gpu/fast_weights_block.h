#pragma once

// What the fast weights' kernels share: a block is one head of one sequence, and walks through its pieces (the tokens
// of a mini-batch, up to 64) one after another. What it works on lies in shared memory as far as there is room, and
// beyond in device memory of its own. All matrices are padded with zeros to multiples of 16.

#include <cstddef>

#include "zoo/cpu/fast_weights.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/shared_rows.h"
#include "zoo/gpu/tile.h"
#include "zoo/gpu/warp.h"

namespace zoo::gpu::fast {

inline constexpr int max_maps = cpu::FastWeightsSizes::max_maps;
inline constexpr int max_piece = cpu::FastWeightsSizes::max_piece;
inline constexpr int max_threads = 256;
inline constexpr int item = 16;  // rows and columns that a warp computes at a time

/// cpu::FastWeightsPiece.
struct Piece {
  int begin, n, index;
  bool ends;

  __host__ __device__ bool begun() const { return index > 0; }
};

/// cpu::FastWeightsSizes, checked, in the numbers that kernels compute with.
struct Extents {
  int batch, length, heads, maps;
  int d, hidden;
  int mini_batch, first;
  int pieces, spacing, checkpoints;  // spacing: pieces from one checkpoint to the next
  int checkpoint_values, weights;    // of one head
  bool begins_within;
  float epsilon;

  __host__ __device__ int width(int l) const { return maps == 2 && l == 1 ? hidden : d; }
  __host__ __device__ int padded(int l) const { return round_up(width(l), item); }
  /// Rows of a piece's matrices.
  __host__ __device__ int rows() const {
    const int most = mini_batch < max_piece ? mini_batch : max_piece;
    return round_up(length < most ? length : most, item);
  }
  /// Of the weights, and of the sums where a piece can begin within a mini-batch.
  __host__ __device__ int kept_values() const { return begins_within ? 2 * weights : weights; }
  __host__ __device__ int kept_pieces() const { return spacing < pieces ? spacing : pieces; }
  __host__ __device__ Piece piece(int number) const {
    const int whole = blocks_of(mini_batch, max_piece);  // pieces of a whole mini-batch
    const int of_first = blocks_of(mini_batch - first, max_piece);
    const int behind = number - of_first;
    const int begin =
        behind < 0 ? number * max_piece : mini_batch - first + behind / whole * mini_batch + behind % whole * max_piece;
    const int index = (first + begin) % mini_batch;
    int n = mini_batch - index < length - begin ? mini_batch - index : length - begin;
    if (n > max_piece) n = max_piece;
    return {begin, n, index, index + n == mini_batch};
  }
};

/// A matrix in shared or device memory.
struct Matrix {
  float* data;
  int pitch;

  __device__ float& at(int row, int column) const { return data[row * pitch + column]; }
};

/// Gives out a block's memory.
class Places {
 public:
  /// Without memory it only counts.
  __host__ __device__ Places(float* shared, float* device, std::size_t shared_count)
      : shared_(shared), device_(device), shared_count_(shared_count) {}

  __host__ __device__ Matrix take(int rows, int columns) {
    const int pitch = columns + row_padding;
    const std::size_t count = std::size_t{1} * rows * pitch;
    if (shared_used_ + count <= shared_count_) {
      float* taken = shared_ == nullptr ? nullptr : shared_ + shared_used_;
      shared_used_ += count;
      return {taken, pitch};
    }
    float* taken = device_ == nullptr ? nullptr : device_ + device_used_;
    device_used_ += count;
    return {taken, pitch};
  }
  __host__ __device__ std::size_t shared_used() const { return shared_used_; }
  __host__ __device__ std::size_t device_used() const { return device_used_; }

 private:
  float* shared_;
  float* device_;
  std::size_t shared_count_;
  std::size_t shared_used_ = 0;
  std::size_t device_used_ = 0;
};

/// What belongs to one map in a piece: names as in zoo/cpu/fast_weights_record-inl.h, a token a row.
struct MapRecord {
  int in, out;            // padded
  int true_in, true_out;  // not
  Matrix W, b;            // at the mini-batch's start; b of one row
  float* W_sum;           // [in][out] in device memory, not padded
  float* b_sum;
  Matrix x;                 // not of map 0, whose inputs are k
  Matrix slope, curvature;  // not of the last map
  Matrix gradient;          // G; eta_j is multiplied where it is read
  Matrix y;                 // not of map 0, whose inputs are q
  Matrix y_slope;           // not of the last map
  Matrix scores, learned;
  Matrix dW, db;  // these and all below: of the backward pass
  float* dW_sum;
  float* db_sum;
  Matrix dweighted, dresult;  // gradients by eta_j G_j, and by the results of the test view
  Matrix dx;
};

/// What a block shares.
struct alignas(16) Shared {
  MapRecord maps[max_maps];
  Matrix q, k, v;
  Matrix x_normal, y_normal;
  Matrix dscores, back;
  float x_inverse[max_piece];
  float y_inverse[max_piece];
  float eta[max_piece];    // 0 beyond the piece
  float scale[max_piece];  // 0 beyond the piece
  float row_sums[max_piece];
  float warp_sums[max_threads / 32];
  std::size_t device_used;  // of the block's own device memory, by matrices

  __device__ const Matrix& x(int l) const { return l == 0 ? k : maps[l].x; }
  __device__ const Matrix& y(int l) const { return l == 0 ? q : maps[l].y; }
  /// eta_j G_j
  __device__ float weighted(int l, int token, int column) const {
    return eta[token] * maps[l].gradient.at(token, column);
  }
};

/// Places all matrices, those first that are read most for their size; `backward`: also those of the backward pass.
__host__ __device__ inline void lay_out(const Extents& sizes, bool backward, Places& places, Shared& shared) {
  const int rows = sizes.rows(), d = sizes.padded(0);
  const int last = sizes.maps - 1;
  MapRecord& top = shared.maps[last];
  shared.q = places.take(rows, d);
  shared.k = places.take(rows, d);
  shared.v = places.take(rows, d);
  shared.x_normal = places.take(rows, d);
  shared.y_normal = backward ? places.take(rows, d) : shared.x_normal;
  for (int l = 0; l < sizes.maps; ++l) {
    MapRecord& map = shared.maps[l];
    map.true_in = sizes.width(l);
    map.true_out = sizes.width(l + 1);
    map.in = sizes.padded(l);
    map.out = sizes.padded(l + 1);
    map.b = places.take(1, map.out);
    map.scores = places.take(rows, rows);
    if (backward) map.db = places.take(1, map.out);
  }
  top.gradient = places.take(rows, d);
  if (backward) {
    shared.dscores = places.take(rows, rows);
    shared.maps[0].dx = places.take(rows, d);
    top.dweighted = places.take(rows, d);
    top.dresult = places.take(rows, d);
    top.learned = places.take(rows, d);
    for (int l = 0; l < sizes.maps; ++l) shared.maps[l].dW = places.take(shared.maps[l].in, shared.maps[l].out);
  }
  for (int l = 0; l < sizes.maps; ++l) shared.maps[l].W = places.take(shared.maps[l].in, shared.maps[l].out);
  if (last > 0) {
    MapRecord& map = shared.maps[0];
    const int hidden = map.out;
    top.x = places.take(rows, hidden);
    top.y = places.take(rows, hidden);
    map.slope = places.take(rows, hidden);
    map.gradient = backward ? places.take(rows, hidden) : map.slope;
    if (backward) {
      map.curvature = places.take(rows, hidden);
      map.y_slope = places.take(rows, hidden);
      map.learned = places.take(rows, hidden);
      map.dweighted = places.take(rows, hidden);
      map.dresult = places.take(rows, hidden);
      top.dx = places.take(rows, hidden);
    }
  }
  if (backward) shared.back = places.take(rows, d > sizes.padded(1) ? d : sizes.padded(1));
}

/// Calls body(row, column) for the beginnings of a matrix's 16 x 16 parts, each by a whole warp.
template <typename Body>
__device__ __forceinline__ void for_items(int rows, int columns, const Body& body) {
  const int across = columns / item;
  const int count = rows / item * across;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < count; i += static_cast<int>(blockDim.x) / 32)
    body(i / across * item, i % across * item);
}

/// 16 x 16 sums of a warp.
struct Sums {
  TileC tiles[2];

  /// += a(row, k) b(k, column) for k from `begin` to `end`, multiples of 16, for the rows and columns from `row` and
  /// `column` on.
  template <typename Format, typename A, typename B>
  __device__ __forceinline__ void add(int row, int column, int begin, int end, const A& a, const B& b) {
    // Not unrolled: a kernel has some twenty products, and its code would outgrow the caches.
#if defined(__CUDACC__)
#pragma unroll 1
#endif
    for (int k = begin; k < end; k += Format::depth) {
      const TileA<Format> left = tile_a<Format>([&](int r, int at) { return a(row + r, k + at); });
      for (int tile = 0; tile < 2; ++tile)
        multiply_add(tiles[tile], left,
                     tile_b<Format>([&](int at, int c) { return b(k + at, column + tile * tile_columns + c); }));
    }
  }
  /// Calls body(row, column, sum) for all that this lane holds.
  template <typename Body>
  __device__ __forceinline__ void each(int row, int column, const Body& body) {
    // Unrolled however long the body is, or the sums would not be in registers.
#if defined(__CUDACC__)
#pragma unroll
#endif
    for (int tile = 0; tile < 2; ++tile) {
#if defined(__CUDACC__)
#pragma unroll
#endif
      for (int i = 0; i < 4; ++i)
        body(row + TileC::row(i), column + tile * tile_columns + TileC::column(i), tiles[tile].values[i]);
    }
  }
};

/// Calls store(row, column, sum) for the product of a(row, k) and b(k, column); then all threads wait for each other.
template <typename Format, typename A, typename B, typename Store>
__device__ __forceinline__ void product(int rows, int columns, int terms, const A& a, const B& b, const Store& store) {
  for_items(rows, columns, [&](int row, int column) {
    Sums sums;
    sums.add<Format>(row, column, 0, terms, a, b);
    sums.each(row, column, store);
  });
  __syncthreads();
}

/// Calls body(i) for i below count, spread over the block's threads.
template <typename Body>
__device__ __forceinline__ void for_each(int count, const Body& body) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) body(i);
}

/// Calls body(row) for rows below count, each by a whole warp.
template <typename Body>
__device__ __forceinline__ void for_rows(int count, const Body& body) {
  for (int row = static_cast<int>(threadIdx.x) / 32; row < count; row += static_cast<int>(blockDim.x) / 32) body(row);
}

/// Throws Error for sizes that are out of range or do not fit.
Extents checked(const cpu::FastWeightsSizes& sizes);
/// Of both kernels: blocks, threads, and shared memory for what lay_out can place there.
LaunchShape shape_of(const Extents& sizes, bool backward);
/// Floats of shared memory for matrices.
std::size_t shared_floats(const Extents& sizes, bool backward);
/// Floats of a block's own device memory for matrices.
std::size_t device_floats(const Extents& sizes, bool backward);

}  // namespace zoo::gpu::fast
