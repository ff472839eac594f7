#include <algorithm>

#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/causal_conv.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/long_conv.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/small_matmul-inl.h"
#include "zoo/cpu/vector_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Channels whose values are brought together: a cache line of them is read at each step.
template <typename T>
constexpr std::int64_t channel_block = 64 / static_cast<std::int64_t>(sizeof(T));
// Sequences that are multiplied at once.
constexpr std::int64_t batch_tile = 64;

// Some channels and sequences of x [B,T,C], so that each channel is a matrix [T][b], or [b][T] backwards in time.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void gather_channels(D d, const LongConvSizes& sizes, std::int64_t b, std::int64_t sequences, std::int64_t c,
                                std::int64_t channels, const T* x, T* to) {
  for (std::int64_t t = 0; t < sizes.length; ++t) {
    transpose(d, sequences, channels,
              Rowwise<const T>{x + (b * sizes.length + t) * sizes.channels + c, sizes.length * sizes.channels},
              Rowwise<T>{to + t * sequences, sizes.length * sequences});
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void scatter_channels(D d, const LongConvSizes& sizes, std::int64_t b, std::int64_t sequences,
                                 std::int64_t c, std::int64_t channels, const T* from, T* x) {
  for (std::int64_t t = 0; t < sizes.length; ++t) {
    transpose(d, channels, sequences, Rowwise<const T>{from + t * sequences, sizes.length * sequences},
              Rowwise<T>{x + (b * sizes.length + t) * sizes.channels + c, sizes.length * sizes.channels});
  }
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void gather_reversed(D d, const LongConvSizes& sizes, std::int64_t b, std::int64_t sequences, std::int64_t c,
                                std::int64_t channels, const T* x, T* to) {
  for (std::int64_t i = 0; i < sequences; ++i) {
    transpose(d, sizes.length, channels,
              Rowwise<const T>{x + ((b + i + 1) * sizes.length - 1) * sizes.channels + c, -sizes.channels},
              Rowwise<T>{to + i * sizes.length, sizes.length * sequences});
  }
}

// The taps of some channels, [channel][lag], each behind zeros for the lags -block_rows .. -1 that a block of rows
// meets on the diagonal.
template <typename T>
class Taps {
 public:
  Taps(const LongConvSizes& sizes, const T* filter, std::int64_t c, std::int64_t channels)
      : stride_(sizes.length + block_rows), values_(static_cast<std::size_t>(channels * stride_)) {
    for (std::int64_t lag = 0; lag < sizes.length; ++lag) {
      for (std::int64_t i = 0; i < channels; ++i) {
        values_[static_cast<std::size_t>(i * stride_ + block_rows + lag)] = filter[lag * sizes.channels + c + i];
      }
    }
  }
  // Tap 0 of a channel.
  const T* channel(std::int64_t i) const { return values_.data() + i * stride_ + block_rows; }

 private:
  std::int64_t stride_;
  PoolVector<T> values_;
};

// Channel blocks [begin, end).
template <typename T>
void forward_part(const LongConvSizes& sizes, const T* x, const T* filter, T* y, std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::int64_t length = sizes.length;
  const std::int64_t most = std::min(batch_tile, sizes.batch);
  PoolVector<T> inputs(static_cast<std::size_t>(channel_block<T> * length * most));
  PoolVector<T> outputs(inputs.size());
  for (std::int64_t block = begin; block < end; ++block) {
    const std::int64_t c = block * channel_block<T>;
    const std::int64_t channels = std::min(channel_block<T>, sizes.channels - c);
    const Taps<T> taps(sizes, filter, c, channels);
    for (std::int64_t b = 0; b < sizes.batch; b += batch_tile) {
      const std::int64_t n = std::min(batch_tile, sizes.batch - b);
      gather_channels(d, sizes, b, n, c, channels, x, inputs.data());
      for (std::int64_t i = 0; i < channels; ++i) {
        small_matmul_within<false>(
            d, length, Strided<T>{taps.channel(i), 1, -1}, Rowwise<const T>{inputs.data() + i * length * n, n},
            Rowwise<T>{outputs.data() + i * length * n, n}, [n](std::int64_t t, std::int64_t rows) {
              return BlockRange{0, n, 0, t + rows};
            });
      }
      scatter_channels(d, sizes, b, n, c, channels, outputs.data(), y);
    }
  }
}

// dfilter[lag] += sum_t dy_t . x_{t - lag}, for one channel: a product of all pairs of steps, a tile at a time, and
// sums along its diagonals. dy [T][n], x [n][T] backwards in time, so that a diagonal's elements lie in order.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void add_filter_gradient(D d, std::int64_t length, std::int64_t n, const T* dy, const T* reversed, T* pairs,
                                    T* dfilter) {
  for (std::int64_t t = 0; t < length; t += batch_tile) {
    const std::int64_t rows = std::min(batch_tile, length - t);
    for (std::int64_t r = length - t - rows; r < length; r += batch_tile) {
      const std::int64_t columns = std::min(batch_tile, length - r);
      small_matmul<false>(d, rows, columns, n, Strided<T>{dy + t * n, n, 1}, Rowwise<const T>{reversed + r, length},
                          Rowwise<T>{pairs, batch_tile});
      for (std::int64_t i = 0; i < rows; ++i) {
        // Column r is step length - 1 - r, at lag t + i - (length - 1 - r).
        const std::int64_t lag = t + i - (length - 1 - r);
        const std::int64_t skipped = std::max<std::int64_t>(0, -lag);
        const T* pair = pairs + i * batch_tile + skipped;
        T* sum = dfilter + lag + skipped;
        for_vectors(d, std::max<std::int64_t>(columns - skipped, 0), [&](std::int64_t j, auto part) HWY_ATTR {
          part.store(hn::Add(part.load(d, sum + j), part.load(d, pair + j)), d, sum + j);
        });
      }
    }
  }
}

template <typename T>
void backward_part(const LongConvSizes& sizes, const T* x, const T* filter, const T* dy, T* dx, T* dfilter,
                   std::int64_t begin, std::int64_t end) {
  const hn::ScalableTag<T> d;
  const std::int64_t length = sizes.length;
  const std::int64_t most = std::min(batch_tile, sizes.batch);
  PoolVector<T> gradients(static_cast<std::size_t>(channel_block<T> * length * most));
  PoolVector<T> others(gradients.size());  // dx, then x backwards in time
  PoolVector<T> pairs(batch_tile * batch_tile);
  PoolVector<T> sums(static_cast<std::size_t>(channel_block<T> * length));
  for (std::int64_t block = begin; block < end; ++block) {
    const std::int64_t c = block * channel_block<T>;
    const std::int64_t channels = std::min(channel_block<T>, sizes.channels - c);
    const Taps<T> taps(sizes, filter, c, channels);
    std::fill(sums.begin(), sums.end(), T{0});
    for (std::int64_t b = 0; b < sizes.batch; b += batch_tile) {
      const std::int64_t n = std::min(batch_tile, sizes.batch - b);
      gather_channels(d, sizes, b, n, c, channels, dy, gradients.data());
      if (dx != nullptr) {
        for (std::int64_t i = 0; i < channels; ++i) {
          small_matmul_within<false>(
              d, length, Strided<T>{taps.channel(i), -1, 1}, Rowwise<const T>{gradients.data() + i * length * n, n},
              Rowwise<T>{others.data() + i * length * n, n}, [n, length](std::int64_t s, std::int64_t) {
                return BlockRange{0, n, s, length};
              });
        }
        scatter_channels(d, sizes, b, n, c, channels, others.data(), dx);
      }
      if (dfilter != nullptr) {
        gather_reversed(d, sizes, b, n, c, channels, x, others.data());
        for (std::int64_t i = 0; i < channels; ++i) {
          add_filter_gradient(d, length, n, gradients.data() + i * length * n, others.data() + i * length * n,
                              pairs.data(), sums.data() + i * length);
        }
      }
    }
    for (std::int64_t lag = 0; dfilter != nullptr && lag < length; ++lag) {
      for (std::int64_t i = 0; i < channels; ++i) {
        dfilter[lag * sizes.channels + c + i] = sums[static_cast<std::size_t>(i * length + lag)];
      }
    }
  }
}

// For the dispatch, which takes no templates.
void long_forward_float(const LongConvSizes& sizes, const float* x, const float* filter, float* y, std::int64_t begin,
                        std::int64_t end) {
  forward_part(sizes, x, filter, y, begin, end);
}
void long_forward_double(const LongConvSizes& sizes, const double* x, const double* filter, double* y,
                         std::int64_t begin, std::int64_t end) {
  forward_part(sizes, x, filter, y, begin, end);
}
void long_backward_float(const LongConvSizes& sizes, const float* x, const float* filter, const float* dy, float* dx,
                         float* dfilter, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, x, filter, dy, dx, dfilter, begin, end);
}
void long_backward_double(const LongConvSizes& sizes, const double* x, const double* filter, const double* dy,
                          double* dx, double* dfilter, std::int64_t begin, std::int64_t end) {
  backward_part(sizes, x, filter, dy, dx, dfilter, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(long_forward_float);
HWY_EXPORT(long_forward_double);
HWY_EXPORT(long_backward_float);
HWY_EXPORT(long_backward_double);

namespace {

// Calls body(begin, end) on parts of the blocks of channels.
template <typename T, typename Body>
void for_channel_blocks(const LongConvSizes& sizes, const Body& body) {
  const std::int64_t block = 64 / static_cast<std::int64_t>(sizeof(T));
  const std::int64_t work = sizes.batch * sizes.length * sizes.length * block;
  parallel_for((sizes.channels + block - 1) / block, 1 + 200000 / std::max<std::int64_t>(work, 1), body);
}

}  // namespace

void long_conv_forward(const LongConvSizes& sizes, const float* x, const float* filter, float* y) {
  for_channel_blocks<float>(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(long_forward_float)(sizes, x, filter, y, begin, end);
  });
}

void long_conv_forward(const LongConvSizes& sizes, const double* x, const double* filter, double* y) {
  for_channel_blocks<double>(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(long_forward_double)(sizes, x, filter, y, begin, end);
  });
}

void long_conv_backward(const LongConvSizes& sizes, const float* x, const float* filter, const float* dy, float* dx,
                        float* dfilter) {
  for_channel_blocks<float>(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(long_backward_float)(sizes, x, filter, dy, dx, dfilter, begin, end);
  });
}

void long_conv_backward(const LongConvSizes& sizes, const double* x, const double* filter, const double* dy, double* dx,
                        double* dfilter) {
  for_channel_blocks<double>(sizes, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(long_backward_double)(sizes, x, filter, dy, dx, dfilter, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
