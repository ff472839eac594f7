#include "zoo/gpu/each.h"
#include "zoo/gpu/shape.h"
#include "zoo/gpu/strided.h"

namespace zoo::gpu {

namespace {

constexpr const char* family = "shape";

struct CopyStrided {
  StridedIndex<1> index;
  const std::uint32_t* x;
  std::uint32_t* y;

  __device__ void operator()(int i) const {
    std::ptrdiff_t at[1];
    index.find(i, at);
    y[i] = x[at[0]];
  }
};

struct CopyRuns {
  const std::uint32_t* from;
  std::ptrdiff_t from_step;
  std::uint32_t* to;
  std::ptrdiff_t to_step;
  int words;

  __device__ void operator()(int i) const {
    const int run = i / words;
    const int word = i % words;
    to[run * to_step + word] = from[run * from_step + word];
  }
};

}  // namespace

void copy_strided(std::int64_t count, const cpu::StridedLoops<1>& loops, const std::uint32_t* x, std::uint32_t* y,
                  Stream& stream) {
  if (count == 0) return;
  launch_each(family, count, CopyStrided{{family, loops}, x, y}, stream);
}

void copy_runs(const std::uint32_t* from, std::int64_t from_step, std::uint32_t* to, std::int64_t to_step,
               std::int64_t words, std::int64_t count, Stream& stream) {
  launch_each(family, words * count,
              CopyRuns{from, static_cast<std::ptrdiff_t>(from_step), to, static_cast<std::ptrdiff_t>(to_step),
                       extent(family, "a run", words)},
              stream);
}

}  // namespace zoo::gpu
