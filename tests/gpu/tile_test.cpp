#include "zoo/gpu/tile.h"

#include <cmath>
#include <limits>

#include "gpu_testing.h"

namespace zoo::gpu {

// Small whole numbers are exact in every format and order.
template <typename Format>
__global__ void multiply_tiles(bool transposed, const float* a, const float* b, float* c) {
  TileC sum;
  for (int i = 0; i < 4; ++i) sum.values[i] = static_cast<float>(100 * TileC::row(i) + TileC::column(i));
  const int depth = Format::depth;
  multiply_add(sum, transposed ? load_a<Format>(a, 1, tile_rows) : load_a<Format>(a, depth, 1),
               transposed ? load_b<Format>(b, 1, depth) : load_b<Format>(b, tile_columns, 1));
  store(sum, c, tile_columns, 1);
}

__global__ void lane_that_holds_row_0_column_0(unsigned* lane) {
  if (TileC::row(0) == 0 && TileC::column(0) == 0) *lane = threadIdx.x;
}

// Each row of c is filled with the sum of the columns' numbers of its elements.
__global__ void sums_columns(float* c) {
  TileC sums;
  for (int half = 0; half < 2; ++half) {
    const float own = static_cast<float>(TileC::column(2 * half) + TileC::column(2 * half + 1));
    sums.values[2 * half] = across_row(own, [](float a, float b) { return a + b; });
    sums.values[2 * half + 1] = sums.values[2 * half] + static_cast<float>(100 * TileC::row(2 * half));
  }
  store(sums, c, tile_columns, 1);
}

__global__ void rounded(const float* x, float* tf32, float* bf16) {
  tf32[threadIdx.x] = round_to_tf32(x[threadIdx.x]);
  bf16[threadIdx.x] = to_float(to_bfloat16(x[threadIdx.x]));
}

__global__ void reads_a_copy(bool waits, const float* x, float* y) {
  auto* shared = shared_memory<float>();
  copy_async<4>(&shared[threadIdx.x], &x[threadIdx.x]);
  copy_async_commit();
  if (waits) copy_async_wait<0>();
  y[threadIdx.x] = shared[threadIdx.x];
  if (!waits) copy_async_wait<0>();
}

__global__ void waits_for_the_older_of_two(const float* x, float* y) {
  auto* shared = shared_memory<float>();
  copy_async<16>(shared, x);
  copy_async_commit();
  copy_async<16>(shared + 4, x + 4);
  copy_async_commit();
  copy_async_wait<1>();
  for (int i = 0; i < 8; ++i) y[i] = shared[i];
  copy_async_wait<0>();
}

__global__ void reads_a_neighbours_copy(bool barrier, const float* x, float* y) {
  auto* shared = shared_memory<float>();
  copy_async<4>(&shared[threadIdx.x], &x[threadIdx.x]);
  copy_async_commit();
  copy_async_wait<0>();
  if (barrier) __syncthreads();
  y[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

__global__ void never_waits(const float* x) {
  copy_async<4>(shared_memory<float>(), x);
}
__global__ void copies_misaligned(const float* x) {
  copy_async<8>(shared_memory<float>(), x + 1);
}
__global__ void copies_beyond(const float* x) {
  copy_async<16>(shared_memory<float>() + 32, x);
}

namespace {

using testing::HasSubstr;

template <typename Format>
void expect_exact_product(bool transposed) {
  constexpr int depth = Format::depth;
  std::vector<float> a(tile_rows * depth);
  std::vector<float> b(depth * tile_columns);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 11) - 5;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 13) - 6;
  Stream stream;
  const DeviceBuffer<float> device_a = to_device(std::span(a), stream);
  const DeviceBuffer<float> device_b = to_device(std::span(b), stream);
  DeviceBuffer<float> device_c(tile_rows * tile_columns);
  launch(multiply_tiles<Format>, 1, 32, 0, stream, transposed, device_a.data(), device_b.data(), device_c.data());
  const std::vector<float> c = to_host(device_c, stream);
  for (int row = 0; row < tile_rows; ++row) {
    for (int column = 0; column < tile_columns; ++column) {
      float expected = static_cast<float>(100 * row + column);
      for (int k = 0; k < depth; ++k)
        expected += (transposed ? a[k * tile_rows + row] : a[row * depth + k]) *
                    (transposed ? b[column * depth + k] : b[k * tile_columns + column]);
      ASSERT_EQ(c[row * tile_columns + column], expected) << row << " " << column;
    }
  }
}

TEST(Tile, ProductsOfSmallWholeNumbersAreExact) {
  for (const bool transposed : {false, true}) {
    expect_exact_product<Tf32>(transposed);
    expect_exact_product<Bf16>(transposed);
    expect_exact_product<Float32>(transposed);
  }
}

TEST(Tile, AcrossARowGoWhatItsLanesHold) {
  Stream stream;
  for (int seed = 0; seed < 8; ++seed) {
    set_schedule_seed(static_cast<std::uint64_t>(seed));
    DeviceBuffer<float> device_c(tile_rows * tile_columns);
    launch(sums_columns, 1, 32, 0, stream, device_c.data());
    const std::vector<float> c = to_host(device_c, stream);
    for (int row = 0; row < tile_rows; ++row) {
      for (int column = 0; column < tile_columns; ++column)
        ASSERT_EQ(c[row * tile_columns + column], column % 2 == 0 ? 28 : 28 + 100 * row);
    }
  }
}

TEST(Tile, NoLaneCanRelyOnWhatItHolds) {
  std::vector<unsigned> lanes;
  Stream stream;
  DeviceBuffer<unsigned> lane(1);
  for (int seed = 0; seed < 8; ++seed) {
    set_schedule_seed(static_cast<std::uint64_t>(seed));
    launch(lane_that_holds_row_0_column_0, 1, 32, 0, stream, lane.data());
    lanes.push_back(to_host(lane, stream)[0]);
  }
  EXPECT_THAT(lanes, testing::Contains(testing::Ne(lanes[0])));
}

TEST(Tile, NumbersAreRoundedAsTheHardwareDoes) {
  const float tie10 = 1 + std::ldexp(1.0F, -11);
  const float tie7 = 1 + std::ldexp(1.0F, -8);
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {
      1, tie10, -tie10, tie10 - std::ldexp(1.0F, -23), tie7, 1 + 3 * std::ldexp(1.0F, -8), infinity, std::nanf("")};
  Stream stream;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> device_tf32(x.size());
  DeviceBuffer<float> device_bf16(x.size());
  launch(rounded, 1, static_cast<unsigned>(x.size()), 0, stream, device_x.data(), device_tf32.data(),
         device_bf16.data());
  const std::vector<float> tf32 = to_host(device_tf32, stream);
  const std::vector<float> bf16 = to_host(device_bf16, stream);
  // TF32: ties away from zero. bfloat16: ties to even.
  const float ulp10 = std::ldexp(1.0F, -10);
  const float ulp7 = std::ldexp(1.0F, -7);
  EXPECT_THAT(std::vector(tf32.begin(), tf32.begin() + 7),
              testing::ElementsAre(1, 1 + ulp10, -1 - ulp10, 1, tie7, x[5], infinity));
  EXPECT_THAT(std::vector(bf16.begin(), bf16.begin() + 7),
              testing::ElementsAre(1, 1, -1, 1, 1, 1 + 2 * ulp7, infinity));
  EXPECT_TRUE(std::isnan(tf32[7]) && std::isnan(bf16[7]));
}

std::vector<float> copied(void (*kernel)(bool, const float*, float*), bool correct) {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  Stream stream;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> y(8);
  launch(kernel, 1, 8, 8 * sizeof(float), stream, correct, device_x.data(), y.data());
  return to_host(y, stream);
}

TEST(CopyAsync, DataArriveAtTheWaitAndNotBefore) {
  EXPECT_THAT(copied(reads_a_copy, true), testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  for (const float value : copied(reads_a_copy, false)) EXPECT_TRUE(std::isnan(value));
}

TEST(CopyAsync, AWaitLeavesTheNewestGroupsUnderWay) {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  Stream stream;
  const DeviceBuffer<float> device_x = to_device(std::span(x), stream);
  DeviceBuffer<float> device_y(8);
  launch(waits_for_the_older_of_two, 1, 1, 8 * sizeof(float), stream, device_x.data(), device_y.data());
  const std::vector<float> y = to_host(device_y, stream);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(y[i], x[i]);
  for (std::size_t i = 4; i < 8; ++i) EXPECT_TRUE(std::isnan(y[i]));
}

TEST(CopyAsync, OthersSeeTheDataAfterABarrierOnly) {
  const std::vector<float> expected = {2, 3, 4, 5, 6, 7, 8, 1};
  expect_race("zoo::gpu::reads_a_neighbours_copy", [&] { return copied(reads_a_neighbours_copy, false) == expected; });
  EXPECT_EQ(times_right([&] { return copied(reads_a_neighbours_copy, true) == expected; }), schedules);
}

TEST(CopyAsync, MisuseIsReported) {
  Stream stream;
  const DeviceBuffer<float> x(8);
  const auto fault_of = [&](void (*kernel)(const float*)) {
    launch(kernel, 1, 1, 32 * sizeof(float), stream, x.data());
    return error_of([&] { stream.synchronize(); });
  };
  EXPECT_THAT(fault_of(never_waits), HasSubstr("asynchronous copy not waited for"));
  EXPECT_THAT(fault_of(copies_misaligned), HasSubstr("misaligned access: copy_async at tile_test.cpp:"));
  EXPECT_THAT(fault_of(copies_beyond), HasSubstr("which is not in the block's 128 bytes of shared_memory()"));
}

}  // namespace
}  // namespace zoo::gpu
