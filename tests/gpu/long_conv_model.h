#pragma once

// What the tests of long convolutions share: numbers, and the definition in double precision.

#include <vector>

#include "numbers.h"
#include "zoo/cpu/causal_conv.h"

namespace zoo::gpu {

struct LongConvNumbers {
  std::vector<float> x, filter, dy;
};

template <typename T>
struct LongConvResults {
  std::vector<T> y, dx, dfilter;
};

inline LongConvNumbers random_long_conv(const cpu::LongConvSizes& sizes) {
  const std::int64_t count = sizes.batch * sizes.length * sizes.channels;
  return {normal_numbers(count, 1), normal_numbers(sizes.length * sizes.channels, 2), normal_numbers(count, 3)};
}

inline LongConvResults<double> plain_long_conv(const cpu::LongConvSizes& sizes, const LongConvNumbers& in) {
  LongConvResults<double> out = {std::vector<double>(in.x.size()), std::vector<double>(in.x.size()),
                                 std::vector<double>(in.filter.size())};
  for (std::int64_t b = 0; b < sizes.batch; ++b) {
    for (std::int64_t t = 0; t < sizes.length; ++t) {
      for (std::int64_t lag = 0; lag <= t; ++lag) {
        for (std::int64_t c = 0; c < sizes.channels; ++c) {
          const std::int64_t at_y = (b * sizes.length + t) * sizes.channels + c;
          const std::int64_t at_x = at_y - lag * sizes.channels;
          const std::int64_t tap = lag * sizes.channels + c;
          out.y[at_y] += double{in.filter[tap]} * in.x[at_x];
          out.dx[at_x] += double{in.filter[tap]} * in.dy[at_y];
          out.dfilter[tap] += double{in.x[at_x]} * in.dy[at_y];
        }
      }
    }
  }
  return out;
}

}  // namespace zoo::gpu
