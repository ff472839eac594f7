#include <algorithm>

#include "zoo/gpu/each.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/fft.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/long_conv_fft.h"
#include "zoo/gpu/shared_rows.h"

namespace zoo::gpu {

namespace {

constexpr int tile = 32;  // steps and channels that a block turns round
constexpr int tile_pitch = tile + 1;
constexpr int lines = 8;  // warps of it

// The channels of some sequences of a tensor [B,T,C], and their rows: channel c of sequence s has row s * channels + c.
struct Part {
  int length, all_channels;
  int first_sequence, sequences, first_channel, channels;
  int row_floats;

  __device__ std::ptrdiff_t at(int sequence, int t, int channel) const {
    return ((static_cast<std::ptrdiff_t>(first_sequence) + sequence) * length + t) * all_channels + first_channel +
           channel;
  }
  __device__ std::ptrdiff_t row(int sequence, int channel) const {
    return (static_cast<std::ptrdiff_t>(sequence) * channels + channel) * row_floats;
  }
  // The tile of the running block, where `steps` of each row are covered.
  struct Tile {
    int sequence, t, channel;
  };
  __device__ Tile own_tile(int steps) const {
    const int block = static_cast<int>(blockIdx.x);
    const int across = blocks_of(channels, tile), along = blocks_of(steps, tile);
    return {block / across / along, block / across % along * tile, block % across * tile};
  }
  LaunchShape shape(const char* kernel, int steps) const {
    return {.kernel = kernel,
            .blocks = std::uint64_t{1} * sequences * blocks_of(channels, tile) * blocks_of(steps, tile),
            .threads = tile * lines,
            .shared_bytes = sizeof(float) * tile * tile_pitch};
  }
};

// Steps of channels to rows, with zeros behind them.
__global__ void __launch_bounds__(tile* lines)
    to_rows_kernel(Part part, const float* __restrict__ x, float* __restrict__ rows) {
  auto* shared = shared_memory<float>();
  const Part::Tile own = part.own_tile(part.row_floats);
  const int lane = static_cast<int>(threadIdx.x) % tile, line = static_cast<int>(threadIdx.x) / tile;
  for (int i = line; i < tile; i += lines) {
    const int t = own.t + i, c = own.channel + lane;
    const bool there = t < part.length && c < part.channels;
    shared[i * tile_pitch + lane] = there ? x[part.at(own.sequence, t, c)] : 0.0F;
  }
  __syncthreads();
  for (int i = line; i < tile; i += lines) {
    const int t = own.t + lane, c = own.channel + i;
    if (t < part.row_floats && c < part.channels) rows[part.row(own.sequence, c) + t] = shared[lane * tile_pitch + i];
  }
}

// And back: the first T numbers of each row.
__global__ void __launch_bounds__(tile* lines)
    from_rows_kernel(Part part, const float* __restrict__ rows, float* __restrict__ x) {
  auto* shared = shared_memory<float>();
  const Part::Tile own = part.own_tile(part.length);
  const int lane = static_cast<int>(threadIdx.x) % tile, line = static_cast<int>(threadIdx.x) / tile;
  for (int i = line; i < tile; i += lines) {
    const int t = own.t + lane, c = own.channel + i;
    const bool there = t < part.length && c < part.channels;
    shared[lane * tile_pitch + i] = there ? rows[part.row(own.sequence, c) + t] : 0.0F;
  }
  __syncthreads();
  for (int i = line; i < tile; i += lines) {
    const int t = own.t + i, c = own.channel + lane;
    if (t < part.length && c < part.channels) x[part.at(own.sequence, t, c)] = shared[i * tile_pitch + lane];
  }
}

__device__ __forceinline__ float2 product(float2 a, float2 b) {
  return make_float2(fmaf(a.x, b.x, -(a.y * b.y)), fmaf(a.x, b.y, a.y * b.x));
}
__device__ __forceinline__ float2 conjugate(float2 a) {
  return make_float2(a.x, -a.y);
}

// Of sequences, in place, with the filter's, or its conjugates: that is a correlation with it. `scale` is 1 / N, which
// rounds nothing.
struct MultiplyByFilter {
  const float2* filter;
  float2* sequences;
  int coefficients, channels;
  bool conjugates;
  float scale;

  __device__ void operator()(int i) const {
    const int of_filter = i % (channels * coefficients);
    const float2 tap = conjugates ? conjugate(filter[of_filter]) : filter[of_filter];
    const float2 result = product(sequences[i], tap);
    sequences[i] = make_float2(scale * result.x, scale * result.y);
  }
};

// The filter's gradient, one sequence after the other.
struct CorrelateSequences {
  const float2* x;
  const float2* dy;
  float2* sums;
  int count;  // coefficients of all channels
  int sequences;
  bool begins;
  float scale;

  __device__ void operator()(int i) const {
    float2 sum = begins ? make_float2(0, 0) : sums[i];
    for (int s = 0; s < sequences; ++s) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(s) * count + i;
      const float2 part = product(dy[at], conjugate(x[at]));
      sum = make_float2(fmaf(scale, part.x, sum.x), fmaf(scale, part.y, sum.y));
    }
    sums[i] = sum;
  }
};

constexpr const char* family = "long_conv";

// One block's rows and what is done with them.
class BlockRows {
 public:
  BlockRows(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, std::int64_t first_channel, float* work,
            Stream& stream)
      : sizes_(sizes),
        length_(blocks.length),
        first_channel_(first_channel),
        channels_(std::min<std::int64_t>(blocks.channels, sizes.channels - first_channel)),
        work_(work),
        stream_(&stream) {}

  // To coefficients: of [B,T,C], or of a filter, which is one sequence.
  void read(const float* tensor, std::int64_t first_sequence, std::int64_t sequences, float* rows) const {
    const Part part = part_of(first_sequence, sequences);
    launch_shape(to_rows_kernel, part.shape("long_conv_to_rows", part.row_floats), *stream_, part, tensor, rows);
    fft_forward(shape_of(sequences), rows, work_, *stream_);
  }
  void write(float* rows, std::int64_t first_sequence, std::int64_t sequences, float* tensor) const {
    fft_inverse(shape_of(sequences), rows, work_, *stream_);
    const Part part = part_of(first_sequence, sequences);
    launch_shape(from_rows_kernel, part.shape("long_conv_from_rows", part.length), *stream_, part, rows, tensor);
  }
  void multiply(const float* filter, bool conjugates, std::int64_t sequences, float* rows) const {
    launch_each(family, sequences * count(),
                MultiplyByFilter{complex(filter), complex(rows), fft_row_floats(length_) / 2,
                                 static_cast<int>(channels_), conjugates, scale()},
                *stream_);
  }
  void correlate(const float* x, const float* dy, std::int64_t sequences, bool begins, float* sums) const {
    launch_each(family, count(),
                CorrelateSequences{complex(x), complex(dy), complex(sums), static_cast<int>(count()),
                                   static_cast<int>(sequences), begins, scale()},
                *stream_);
  }

 private:
  static const float2* complex(const float* rows) { return reinterpret_cast<const float2*>(rows); }
  static float2* complex(float* rows) { return reinterpret_cast<float2*>(rows); }
  std::int64_t count() const { return channels_ * fft_row_floats(length_) / 2; }
  float scale() const { return 1.0F / static_cast<float>(length_); }
  FftShape shape_of(std::int64_t sequences) const { return {length_, static_cast<int>(sequences * channels_)}; }
  Part part_of(std::int64_t first_sequence, std::int64_t sequences) const {
    return {static_cast<int>(sizes_.length), static_cast<int>(sizes_.channels), static_cast<int>(first_sequence),
            static_cast<int>(sequences),     static_cast<int>(first_channel_),  static_cast<int>(channels_),
            fft_row_floats(length_)};
  }

  cpu::LongConvSizes sizes_;
  int length_;
  std::int64_t first_channel_, channels_;
  float* work_;
  Stream* stream_;
};

// Floats of the coefficients of a block's filter, and of its sequences.
struct BlockFloats {
  std::int64_t filter, sequences;

  explicit BlockFloats(const LongConvBlocks& blocks)
      : filter(std::int64_t{1} * blocks.channels * fft_row_floats(blocks.length)),
        sequences(filter * blocks.sequences) {}
};

// Calls body(first, count) for the groups of sequences.
template <typename Body>
void for_sequences(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, const Body& body) {
  for (std::int64_t first = 0; first < sizes.batch; first += blocks.sequences)
    body(first, std::min<std::int64_t>(blocks.sequences, sizes.batch - first));
}

}  // namespace

LongConvBlocks long_conv_blocks(const cpu::LongConvSizes& sizes, bool backward, std::int64_t most_floats) {
  const int batch = extent(family, "batch", sizes.batch, 1);
  const int channels = extent(family, "channels", sizes.channels, 1);
  // A row and its two floats more must be counted by an int.
  const int T = extent(family, "length", sizes.length, 1);
  require_extent(T <= 1 << 29, family, "length", T, "it must be at most 536870912");
  LongConvBlocks blocks = {.length = 2, .channels = 1, .sequences = 1};
  while (blocks.length < 2 * T - 1) blocks.length *= 2;
  // A filter's row, and backward one of its gradient, for each channel, and as many for each of its sequences.
  const std::int64_t rows = most_floats / fft_row_floats(blocks.length) / (backward ? 2 : 1);
  const std::int64_t beside = std::min<std::int64_t>(channels, tile);
  blocks.sequences = static_cast<int>(std::clamp<std::int64_t>(rows / beside - 1, 1, batch));
  std::int64_t most_channels = rows / (1 + blocks.sequences);
  if (most_channels > tile) most_channels -= most_channels % tile;
  // Rows of a block, and their coefficients, are counted by an int too.
  most_channels = std::min<std::int64_t>(most_channels, (1 << 30) / blocks.length / blocks.sequences);
  blocks.channels = static_cast<int>(std::clamp<std::int64_t>(most_channels, 1, channels));
  return blocks;
}

std::int64_t long_conv_most_floats() {
  return static_cast<std::int64_t>(device().l2_bytes / 2 / sizeof(float));
}

std::int64_t long_conv_fft_workspace(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, bool backward) {
  const BlockFloats floats(blocks);
  std::int64_t work = 0;
  for (const std::int64_t channels : {std::int64_t{blocks.channels}, sizes.channels % blocks.channels}) {
    for (const std::int64_t sequences :
         {std::int64_t{1}, std::int64_t{blocks.sequences}, sizes.batch % blocks.sequences})
      work = std::max(work, fft_workspace({blocks.length, static_cast<int>(channels * sequences)}));
  }
  return (backward ? 2 : 1) * (floats.filter + floats.sequences) + work;
}

void long_conv_fft_forward(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, const float* x,
                           const float* filter, float* y, float* workspace, Stream& stream) {
  const BlockFloats floats(blocks);
  float* taps = workspace;
  float* sequences = taps + floats.filter;
  float* work = sequences + floats.sequences;
  for (std::int64_t c = 0; c < sizes.channels; c += blocks.channels) {
    const BlockRows rows(sizes, blocks, c, work, stream);
    rows.read(filter, 0, 1, taps);
    for_sequences(sizes, blocks, [&](std::int64_t first, std::int64_t count) {
      rows.read(x, first, count, sequences);
      rows.multiply(taps, /*conjugates=*/false, count, sequences);
      rows.write(sequences, first, count, y);
    });
  }
}

// dx is the correlation of dy with the filter, and dfilter that of dy with x.
void long_conv_fft_backward(const cpu::LongConvSizes& sizes, const LongConvBlocks& blocks, const float* x,
                            const float* filter, const float* dy, float* dx, float* dfilter, float* workspace,
                            Stream& stream) {
  const BlockFloats floats(blocks);
  float* taps = workspace;
  float* sums = taps + floats.filter;
  float* gradients = sums + floats.filter;
  float* inputs = gradients + floats.sequences;
  float* work = inputs + floats.sequences;
  for (std::int64_t c = 0; c < sizes.channels; c += blocks.channels) {
    const BlockRows rows(sizes, blocks, c, work, stream);
    if (dx != nullptr) rows.read(filter, 0, 1, taps);
    for_sequences(sizes, blocks, [&](std::int64_t first, std::int64_t count) {
      rows.read(dy, first, count, gradients);
      if (dfilter != nullptr) {
        rows.read(x, first, count, inputs);
        rows.correlate(inputs, gradients, count, first == 0, sums);
      }
      if (dx == nullptr) return;
      rows.multiply(taps, /*conjugates=*/true, count, gradients);
      rows.write(gradients, first, count, dx);
    });
    if (dfilter != nullptr) rows.write(sums, 0, 1, dfilter);
  }
}

}  // namespace zoo::gpu
