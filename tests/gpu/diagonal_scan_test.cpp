#include "zoo/gpu/diagonal_scan.h"

#include <string>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::ScanSizes;
using testing::HasSubstr;

struct Inputs {
  std::vector<float> a, b, initial, dh;
};

template <typename T>
struct Results {
  std::vector<T> h, da, db, dinitial;
};

// Factors within (-1, 1), so that old states fade at different rates.
Inputs random_inputs(const ScanSizes& sizes) {
  const std::int64_t count = sizes.batch * sizes.length * sizes.channels;
  Inputs result = {normal_numbers(count, 1), normal_numbers(count, 2), normal_numbers(sizes.batch * sizes.channels, 3),
                   normal_numbers(count, 4)};
  for (float& a : result.a) a = std::tanh(2 * a);
  return result;
}

Results<double> plain(const ScanSizes& sizes, const Inputs& in) {
  const auto [batch, length, channels] = sizes;
  Results<double> out;
  out.h.resize(in.a.size());
  out.da.resize(in.a.size());
  out.db.resize(in.a.size());
  out.dinitial.resize(in.initial.size());
  for (std::size_t of_state = 0; of_state < in.initial.size(); ++of_state) {
    const std::size_t start = of_state / channels * length * channels + of_state % channels;
    double h = in.initial[of_state];
    for (std::int64_t t = 0; t < length; ++t) {
      const std::size_t at = start + t * channels;
      out.h[at] = h = in.a[at] * h + in.b[at];
    }
    double carried = 0;
    for (std::int64_t t = length - 1; t >= 0; --t) {
      const std::size_t at = start + t * channels;
      out.db[at] = in.dh[at] + carried;
      out.da[at] = out.db[at] * (t > 0 ? out.h[at - channels] : in.initial[of_state]);
      carried = out.db[at] * in.a[at];
    }
    out.dinitial[of_state] = carried;
  }
  return out;
}

Results<float> on_device(const ScanSizes& sizes, const Inputs& in) {
  Stream stream;
  const auto copied = [&](const std::vector<float>& values) { return to_device(std::span(values), stream); };
  const DeviceBuffer<float> a = copied(in.a), b = copied(in.b), initial = copied(in.initial), dh = copied(in.dh);
  DeviceBuffer<float> h(in.a.size()), da(in.a.size()), db(in.a.size()), dinitial(in.initial.size());
  diagonal_scan_forward(sizes, a.data(), b.data(), initial.data(), h.data(), stream);
  diagonal_scan_backward(sizes, a.data(), h.data(), initial.data(), dh.data(), {da.data(), db.data(), dinitial.data()},
                         stream);
  return {to_host(h, stream), to_host(da, stream), to_host(db, stream), to_host(dinitial, stream)};
}

// A step rounds once, a piece's product of factors once more for each: with factors below 1 both fade as old states do,
// so that a state errs by a few 2^-24 of its typical size, whatever the length; da is a product of two such numbers.
TEST(DiagonalScan, IsTheDefinition) {
  // One piece, part of one, several with a rest, and more than one round of them; channels of less and more than a
  // warp.
  for (const ScanSizes& sizes :
       {ScanSizes{1, 1, 1}, ScanSizes{2, 16, 33}, ScanSizes{1, 17, 70}, ScanSizes{3, 70, 5}, ScanSizes{1, 1100, 3}}) {
    const Inputs inputs = random_inputs(sizes);
    const Results<double> expected = plain(sizes, inputs);
    const Results<float> results = on_device(sizes, inputs);
    EXPECT_LT(relative_error(results.h, expected.h), 3e-7) << sizes.length;
    EXPECT_LT(relative_error(results.da, expected.da), 3e-7) << sizes.length;
    EXPECT_LT(relative_error(results.db, expected.db), 3e-7) << sizes.length;
    EXPECT_LT(relative_error(results.dinitial, expected.dinitial), 3e-7) << sizes.length;
  }
}

TEST(DiagonalScan, SumsOfSmallWholeNumbersAreExact) {
  const ScanSizes sizes = {1, 600, 2};
  Inputs inputs = random_inputs(sizes);
  for (float& a : inputs.a) a = 1;
  for (std::vector<float>* values : {&inputs.b, &inputs.initial, &inputs.dh}) {
    for (float& value : *values) value = std::round(2 * value);
  }
  const Results<double> expected = plain(sizes, inputs);
  const Results<float> results = on_device(sizes, inputs);
  EXPECT_EQ(relative_error(results.h, expected.h), 0);
  EXPECT_EQ(relative_error(results.da, expected.da), 0);
  EXPECT_EQ(relative_error(results.db, expected.db), 0);
  EXPECT_EQ(relative_error(results.dinitial, expected.dinitial), 0);
}

TEST(DiagonalScan, RepeatsBitForBitInEveryOrder) {
  const ScanSizes sizes = {2, 70, 33};
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.h, second.h);
  EXPECT_EQ(first.da, second.da);
  EXPECT_EQ(first.db, second.db);
  EXPECT_EQ(first.dinitial, second.dinitial);
}

TEST(DiagonalScan, HasMorePiecesWhereItHasFewBlocks) {
  EXPECT_EQ(diagonal_scan_kernel({1, 33, 32}).threads, 3U * 32);
  EXPECT_EQ(diagonal_scan_kernel({8, 4096, 128}).threads, 16U * 32);
  EXPECT_EQ(diagonal_scan_kernel({8, 4096, 128}).blocks, 32U);
  EXPECT_EQ(diagonal_scan_kernel({64, 4096, 512}).threads, 8U * 32);
  // A step of each piece and lane, for two rounds.
  EXPECT_EQ(diagonal_scan_kernel({64, 4096, 512}).shared_bytes, 2U * 8 * 32 * 8);
  EXPECT_THAT(error_of([] {
                diagonal_scan_kernel({1, -1, 1});
              }),
              HasSubstr("diagonal_scan on the GPU: length is -1; it must be from 0 to 2147483647"));
  EXPECT_THAT(error_of([] {
                Stream stream;
                diagonal_scan_forward({1 << 30, 1, 1 << 10}, nullptr, nullptr, nullptr, nullptr, stream);
              }),
              HasSubstr("34359738368 blocks are needed; a grid can have at most 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
