#pragma once

#include <cstdint>
#include <span>

namespace zoo::cpu {

/// Extents of a short convolution: x [B,T,C], weight [C,K], bias [C] or nullptr, state [B,K-1,C].
struct CausalConvSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  std::int64_t kernel = 1;
  bool silu = false;  ///< y is silu of the sums; the backward pass computes them again
};

template <typename T>
struct CausalConvInputs {
  const T* x;
  const T* weight;
  const T* bias;
  const T* state;
};

/// As the inputs. Each is nullptr where nobody wants it, but x and state come together.
template <typename T>
struct CausalConvGradients {
  T* x;
  T* weight;
  T* bias;
  T* state;
};

/// Channels of the outputs, or of their gradients, that lie in a tensor [B,T,channels] of their own.
template <typename T>
struct CausalConvPart {
  std::int64_t channels;
  T* y;
};

/// The parts together are all channels, in order.
void causal_conv_forward(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs,
                         std::span<const CausalConvPart<float>> y);
void causal_conv_forward(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs,
                         std::span<const CausalConvPart<double>> y);
/// For the gradients of y and of the next state, the last K-1 inputs (nullptr: zero).
void causal_conv_backward(const CausalConvSizes& sizes, const CausalConvInputs<float>& inputs,
                          std::span<const CausalConvPart<const float>> dy, const float* dstate,
                          const CausalConvGradients<float>& gradients);
void causal_conv_backward(const CausalConvSizes& sizes, const CausalConvInputs<double>& inputs,
                          std::span<const CausalConvPart<const double>> dy, const double* dstate,
                          const CausalConvGradients<double>& gradients);

/// What a kernel does at once: channels [first, first + count) of one sequence.
template <typename T>
struct CausalConvBlock {
  std::int64_t sequence;
  std::int64_t first;
  std::int64_t count;
  T* y;  ///< the block's outputs, or their gradients, `stride` from step to step
  std::int64_t stride;
};

/// Extents of a long convolution: x [B,T,C], filter [L,C] with L >= T.
struct LongConvSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
};

/// y_t = sum_{j <= t} filter_j x_{t-j}, as one product of a triangular Toeplitz matrix a channel with all sequences.
/// Exact, and at the rate of products up to lengths of some thousands, which is what the layers here have; a Fourier
/// transform does fewer operations from there on, at the cost of rounding that mixes the whole sequence.
void long_conv_forward(const LongConvSizes& sizes, const float* x, const float* filter, float* y);
void long_conv_forward(const LongConvSizes& sizes, const double* x, const double* filter, double* y);
/// dfilter is of the first T taps.
void long_conv_backward(const LongConvSizes& sizes, const float* x, const float* filter, const float* dy, float* dx,
                        float* dfilter);
void long_conv_backward(const LongConvSizes& sizes, const double* x, const double* filter, const double* dy, double* dx,
                        double* dfilter);

}  // namespace zoo::cpu
