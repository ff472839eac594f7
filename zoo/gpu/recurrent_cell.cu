#include <algorithm>

#include "zoo/gpu/elementwise_rules.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/recurrent_cell.h"

namespace zoo::gpu {

namespace {

using cpu::Cell;
using rules::sigmoid;

constexpr int most_warps = 8;
constexpr int rows_a_warp = 4;  // sequences
constexpr int units = 32;       // of a block, a lane each
constexpr int depth = 32;       // of a product's terms at a time
constexpr int pitch = units + 1;

template <Cell cell>
constexpr int gates_of = cell == Cell::lstm  ? 4
                         : cell == Cell::gru ? 3
                                             : 1;
template <Cell cell>
constexpr int kept_of = cell == Cell::lstm  ? 5
                        : cell == Cell::gru ? 4
                                            : 0;

struct Extents {
  int batch, length, width;
};

// What a block computes: 32 units of some sequences, of which the warp has 4.
struct Place {
  int lane, warp, warps, first_row, row, first_unit, unit;

  __device__ explicit Place(int width)
      : lane(static_cast<int>(threadIdx.x) % 32),
        warp(static_cast<int>(threadIdx.x) / 32),
        warps(static_cast<int>(blockDim.x) / 32),
        first_row(0),
        row(0),
        first_unit(0),
        unit(0) {
    const int blocks = (width + units - 1) / units;
    first_unit = static_cast<int>(blockIdx.x) % blocks * units;
    first_row = static_cast<int>(blockIdx.x) / blocks * warps * rows_a_warp;
    unit = first_unit + lane;
    row = first_row + warp * rows_a_warp;
  }
};

// sums[g][row] += sum_k rows(row, k) weights(g, k, unit) over `terms` terms, for the warp's rows and the lane's unit.
// fill_weights writes 32 terms of the weights, [gates][depth][pitch], to shared memory. The whole block.
template <int gates, typename Rows, typename FillWeights>
__device__ __forceinline__ void multiply(const Place& place, int terms, const Rows& rows,
                                         const FillWeights& fill_weights, float (&sums)[gates][rows_a_warp]) {
  auto* weights = shared_memory<float>();
  float* own = weights + gates * depth * pitch + place.warp * rows_a_warp * depth;  // the warp's rows
  for (int first = 0; first < terms; first += depth) {
    __syncthreads();
    fill_weights(first, weights);
    for (int row = 0; row < rows_a_warp; ++row)
      own[row * depth + place.lane] = first + place.lane < terms ? rows(place.row + row, first + place.lane) : 0.0F;
    __syncthreads();
    for (int k = 0; k < depth; ++k) {
      for (int gate = 0; gate < gates; ++gate) {
        const float weight = weights[(gate * depth + k) * pitch + place.lane];
        for (int row = 0; row < rows_a_warp; ++row)
          sums[gate][row] = fmaf(own[row * depth + k], weight, sums[gate][row]);
      }
    }
  }
}

// Step t: the gates' products with the state before it, and the step of each unit.
template <Cell cell>
__global__ void __launch_bounds__(most_warps * 32)
    step_kernel(Extents sizes, int t, const float* __restrict__ x, const float* __restrict__ weight,
                const float* __restrict__ bias, const float* __restrict__ hidden, const float* __restrict__ first,
                float* h, float* carried, float* __restrict__ kept) {
  constexpr int gates = gates_of<cell>;
  const Place place(sizes.width);
  const int width = sizes.width;
  const auto past = [&](int row, int unit) {
    if (row >= sizes.batch) return 0.0F;
    const std::ptrdiff_t of_row = row;
    return t == 0 ? hidden[of_row * width + unit] : h[(of_row * sizes.length + t - 1) * width + unit];
  };
  const auto fill_weights = [&](int first_term, float* to) {
    // A row of the matrix along the lanes, so that it is read in order.
    for (int i = place.warp; i < gates * units; i += place.warps) {
      const int gate = i / units;
      const int unit = place.first_unit + i % units;
      const int term = first_term + place.lane;
      const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(gate) * width + unit) * width + term;
      to[(gate * depth + place.lane) * pitch + i % units] = unit < width && term < width ? weight[at] : 0.0F;
    }
  };
  float sums[gates][rows_a_warp] = {};
  multiply<gates>(place, width, past, fill_weights, sums);
  const int unit = place.unit;
  if (unit >= width) return;
  for (int i = 0; i < rows_a_warp; ++i) {
    const int row = place.row + i;
    if (row >= sizes.batch) continue;
    const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(row) * sizes.length + t;
    const float* own_x = x + step * gates * width + unit;
    const auto g = [&](int gate) { return bias[gate * width + unit] + sums[gate][i]; };
    const auto sum = [&](int gate) { return own_x[gate * width] + g(gate); };
    const auto keep = [&](int index, float value) {
      if (kept != nullptr) kept[(step * kept_of<cell> + index) * width + unit] = value;
    };
    float& result = h[step * width + unit];
    if constexpr (cell == Cell::tanh) {
      result = tanhf(sum(0));
    } else if constexpr (cell == Cell::lstm) {
      const float in = sigmoid(sum(0));
      const float forget = sigmoid(sum(1));
      const float candidate = tanhf(sum(2));
      const float out = sigmoid(sum(3));
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + unit;
      const float c = fmaf(forget, t == 0 ? first[at] : carried[at], in * candidate);
      carried[at] = c;
      result = out * tanhf(c);
      keep(0, in);
      keep(1, forget);
      keep(2, candidate);
      keep(3, out);
      keep(4, c);
    } else {
      const float reset = sigmoid(sum(0));
      const float update = sigmoid(sum(1));
      const float g_n = g(2);
      const float candidate = tanhf(fmaf(reset, g_n, own_x[2 * width]));
      result = fmaf(update, past(row, unit) - candidate, candidate);
      keep(0, reset);
      keep(1, update);
      keep(2, candidate);
      keep(3, g_n);
    }
  }
}

// The slopes of a sigmoid and of a tanh with these values.
__device__ __forceinline__ float sigmoid_slope(float s) {
  return fmaf(-s, s, s);
}
__device__ __forceinline__ float tanh_slope(float y) {
  return fmaf(-y, y, 1.0F);
}

// Step t backwards: what reaches the state after it from the gates of step t + 1, and the gradients of its own gates;
// for t = -1 the former alone, which is the first state's gradient. dhidden holds what reaches the state before a step
// without passing the matrix.
template <Cell cell>
__global__ void __launch_bounds__(most_warps * 32)
    step_back_kernel(Extents sizes, int t, const float* __restrict__ weight, const float* __restrict__ hidden,
                     const float* __restrict__ carried, const float* __restrict__ h, const float* __restrict__ kept,
                     const float* __restrict__ dh, const float* __restrict__ dlast, float* dx, float* dgates,
                     float* __restrict__ dhidden, float* __restrict__ dcarried) {
  constexpr int gates = gates_of<cell>;
  const Place place(sizes.width);
  const int width = sizes.width;
  const bool last = t == sizes.length - 1;
  float sums[1][rows_a_warp] = {};
  if (!last) {
    const auto gradients = [&](int row, int term) {
      const std::ptrdiff_t next = static_cast<std::ptrdiff_t>(row) * sizes.length + t + 1;
      return row < sizes.batch ? dgates[next * gates * width + term] : 0.0F;
    };
    const auto fill_weights = [&](int first_term, float* to) {
      for (int i = place.warp; i < depth; i += place.warps) {
        const int term = first_term + i;
        const bool there = term < gates * width && place.unit < width;
        to[i * pitch + place.lane] = there ? weight[static_cast<std::ptrdiff_t>(term) * width + place.unit] : 0.0F;
      }
    };
    multiply<1>(place, gates * width, gradients, fill_weights, sums);
  }
  const int unit = place.unit;
  if (unit >= width) return;
  for (int i = 0; i < rows_a_warp; ++i) {
    const int row = place.row + i;
    if (row >= sizes.batch) continue;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * width + unit;
    const float reaching = last ? 0.0F : sums[0][i] + (cell == Cell::gru ? dhidden[at] : 0.0F);
    if (t < 0) {
      dhidden[at] = reaching;
      continue;
    }
    const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(row) * sizes.length + t;
    const float own = dh[step * width + unit] + reaching;
    const auto value = [&](int index) { return kept[(step * kept_of<cell> + index) * width + unit]; };
    const auto store = [&](float* to, int gate, float gradient) {
      to[(step * gates + gate) * width + unit] = gradient;
    };
    if constexpr (cell == Cell::tanh) {
      store(dx, 0, own * tanh_slope(h[step * width + unit]));
    } else if constexpr (cell == Cell::lstm) {
      const float in = value(0), forget = value(1), candidate = value(2), out = value(3), squashed = tanhf(value(4));
      const float past = t == 0 ? carried[at] : kept[((step - 1) * kept_of<cell> + 4) * width + unit];
      const float given = !last ? dcarried[at] : dlast == nullptr ? 0.0F : dlast[at];
      const float dc = fmaf(own * out, tanh_slope(squashed), given);
      store(dx, 0, dc * candidate * sigmoid_slope(in));
      store(dx, 1, dc * past * sigmoid_slope(forget));
      store(dx, 2, dc * in * tanh_slope(candidate));
      store(dx, 3, own * squashed * sigmoid_slope(out));
      dcarried[at] = dc * forget;
    } else {
      const float reset = value(0), update = value(1), candidate = value(2), g_n = value(3);
      const float past = t == 0 ? hidden[at] : h[(step - 1) * width + unit];
      const float dn = own * (1 - update) * tanh_slope(candidate);
      const float dreset = dn * g_n * sigmoid_slope(reset);
      const float dupdate = own * (past - candidate) * sigmoid_slope(update);
      store(dx, 0, dreset);
      store(dx, 1, dupdate);
      store(dx, 2, dn);
      store(dgates, 0, dreset);
      store(dgates, 1, dupdate);
      store(dgates, 2, dn * reset);
      dhidden[at] = own * update;
    }
  }
}

Extents checked(const cpu::CellSizes& sizes) {
  const char* family = "recurrent_cell";
  return {extent(family, "batch", sizes.batch), extent(family, "length", sizes.length),
          extent(family, "width", sizes.width)};
}

// Of products with the weights of `gates` gates at a time.
LaunchShape shape_of(const char* kernel, const Extents& sizes, int gates) {
  const int warps = std::clamp((sizes.batch + rows_a_warp - 1) / rows_a_warp, 1, most_warps);
  const int rows = warps * rows_a_warp;
  const std::uint64_t row_blocks = (std::uint64_t{1} * sizes.batch + rows - 1) / rows;
  return {.kernel = kernel,
          .blocks = row_blocks * ((sizes.width + units - 1) / units),
          .threads = static_cast<unsigned>(warps) * 32,
          .shared_bytes = sizeof(float) * depth * (static_cast<std::size_t>(gates) * pitch + rows)};
}

LaunchShape forward_shape(const Extents& sizes, int gates) {
  return shape_of("recurrent_cell", sizes, gates);
}

LaunchShape backward_shape(const Extents& sizes) {
  return shape_of("recurrent_cell_gradient", sizes, 1);
}

// What the products of all blocks move in a launch, in bytes: of each 32 terms a warp's rows and the weights, which are
// written once, and a weight that each lane then multiplies by a number of each row.
double products_traffic(const LaunchShape& shape, int terms, int gates) {
  const double written = 1.0 * gates * depth * units + 1.0 * shape.threads * rows_a_warp;
  const double read = 1.0 * shape.threads * gates * depth * (1 + rows_a_warp);
  const double times = terms / depth + (terms % depth > 0 ? 1 : 0);
  return sizeof(float) * static_cast<double>(shape.blocks) * times * (written + read);
}

// Calls body(cell) with a cell that is known when the kernel is compiled.
template <typename Body>
void with_cell(Cell cell, const Body& body) {
  switch (cell) {
    case Cell::tanh:
      return body(std::integral_constant<Cell, Cell::tanh>());
    case Cell::lstm:
      return body(std::integral_constant<Cell, Cell::lstm>());
    case Cell::gru:
      return body(std::integral_constant<Cell, Cell::gru>());
  }
}

}  // namespace

void recurrent_cell_forward(const cpu::CellSizes& sizes, const cpu::CellInputs<float>& inputs,
                            const cpu::CellOutputs<float>& outputs, Stream& stream) {
  const Extents extents = checked(sizes);
  with_cell(sizes.cell, [&](auto cell) {
    const LaunchShape shape = forward_shape(extents, gates_of<cell()>);
    for (int t = 0; t < extents.length; ++t)
      launch_shape(step_kernel<cell()>, shape, stream, extents, t, inputs.x, inputs.weight, inputs.bias, inputs.hidden,
                   inputs.carried, outputs.h, outputs.carried, outputs.kept);
  });
}

void recurrent_cell_backward(const cpu::CellSizes& sizes, const cpu::CellInputs<float>& inputs,
                             const cpu::CellResults<float>& results, const cpu::CellGradients<float>& into,
                             Stream& stream) {
  const Extents extents = checked(sizes);
  with_cell(sizes.cell, [&](auto cell) {
    const LaunchShape shape = backward_shape(extents);
    for (int t = extents.length - 1; t >= -1; --t)
      launch_shape(step_back_kernel<cell()>, shape, stream, extents, t, inputs.weight, inputs.hidden, inputs.carried,
                   results.h, results.kept, results.dh, results.dcarried, into.x, into.gates, into.hidden,
                   into.carried);
  });
}

double recurrent_cell_forward_traffic(const cpu::CellSizes& sizes) {
  const Extents extents = checked(sizes);
  const auto gates = static_cast<int>(sizes.gates());
  return extents.length * products_traffic(forward_shape(extents, gates), extents.width, gates);
}

double recurrent_cell_backward_traffic(const cpu::CellSizes& sizes) {
  const Extents extents = checked(sizes);
  // All gates' gradients are one row of terms. The last step has none behind it; the first state has the first step's.
  return extents.length * products_traffic(backward_shape(extents), static_cast<int>(sizes.gates()) * extents.width, 1);
}

}  // namespace zoo::gpu
