#include "zoo/gpu/l1_distance.h"

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

using cpu::DistanceSizes;
using testing::HasSubstr;

template <typename T>
struct Results {
  std::vector<T> distances, dq, dk;
};

struct Inputs {
  std::vector<float> q, k, ddistances;
};

// Some differences are 0, whose gradients are 0.
Inputs random_inputs(const DistanceSizes& sizes) {
  Inputs in = {normal_numbers(sizes.batch * sizes.queries * sizes.heads * sizes.d, 1),
               normal_numbers(sizes.batch * sizes.keys * sizes.heads * sizes.d, 2),
               normal_numbers(sizes.batch * sizes.heads * sizes.queries * sizes.keys, 3)};
  for (std::size_t i = 0; i < std::min(in.q.size(), in.k.size()); i += 3) in.q[i] = in.k[i];
  return in;
}

Results<double> plain(const DistanceSizes& sizes, const Inputs& in) {
  Results<double> out = {std::vector<double>(in.ddistances.size()), std::vector<double>(in.q.size()),
                         std::vector<double>(in.k.size())};
  for (std::int64_t i = 0; i < sizes.batch * sizes.heads; ++i) {
    for (std::int64_t t = 0; t < sizes.queries; ++t) {
      for (std::int64_t s = 0; s < sizes.keys; ++s) {
        const std::int64_t pair = (i * sizes.queries + t) * sizes.keys + s;
        for (std::int64_t c = 0; c < sizes.d; ++c) {
          const std::int64_t b = i / sizes.heads, h = i % sizes.heads;
          const std::int64_t at_q = ((b * sizes.queries + t) * sizes.heads + h) * sizes.d + c;
          const std::int64_t at_k = ((b * sizes.keys + s) * sizes.heads + h) * sizes.d + c;
          const double difference = double{in.q[at_q]} - in.k[at_k];
          const double sign = difference > 0 ? 1 : difference < 0 ? -1 : 0;
          out.distances[pair] += std::abs(difference);
          out.dq[at_q] += sign * in.ddistances[pair];
          out.dk[at_k] -= sign * in.ddistances[pair];
        }
      }
    }
  }
  return out;
}

Results<float> on_device(const DistanceSizes& sizes, const Inputs& in) {
  Stream stream;
  const DeviceBuffer<float> q = to_device(std::span(in.q), stream), k = to_device(std::span(in.k), stream);
  const DeviceBuffer<float> ddistances = to_device(std::span(in.ddistances), stream);
  DeviceBuffer<float> distances(in.ddistances.size()), dq(in.q.size()), dk(in.k.size());
  l1_distance_forward(sizes, q.data(), k.data(), distances.data(), stream);
  l1_distance_backward(sizes, q.data(), k.data(), ddistances.data(), dq.data(), dk.data(), stream);
  return {to_host(distances, stream), to_host(dq, stream), to_host(dk, stream)};
}

// n numbers added one by one err by sqrt(n) 2^-25 of their sum, root mean square: for at most 70, 2.5e-7 of numbers of
// one sign, and of numbers of either sign, as of their partial sums, no more than twice that.
TEST(L1Distance, IsTheDefinition) {
  for (const DistanceSizes& sizes : {DistanceSizes{1, 1, 1, 1, 1}, DistanceSizes{2, 32, 32, 1, 32},
                                     DistanceSizes{1, 33, 70, 2, 5}, DistanceSizes{1, 5, 3, 3, 67}}) {
    const Inputs inputs = random_inputs(sizes);
    const Results<double> expected = plain(sizes, inputs);
    const Results<float> results = on_device(sizes, inputs);
    EXPECT_LT(relative_error(results.distances, expected.distances), 3e-7) << sizes.queries;
    EXPECT_LT(relative_error(results.dq, expected.dq), 5e-7) << sizes.queries;
    EXPECT_LT(relative_error(results.dk, expected.dk), 5e-7) << sizes.queries;
  }
}

TEST(L1Distance, RepeatsBitForBitInEveryOrder) {
  const DistanceSizes sizes = {1, 33, 35, 2, 33};
  const Inputs inputs = random_inputs(sizes);
  set_schedule_seed(1);
  const Results<float> first = on_device(sizes, inputs);
  set_schedule_seed(2);
  const Results<float> second = on_device(sizes, inputs);
  EXPECT_EQ(first.distances, second.distances);
  EXPECT_EQ(first.dq, second.dq);
  EXPECT_EQ(first.dk, second.dk);
}

TEST(L1Distance, WhereThereIsNothingNothingIsLaunched) {
  const Results<float> results = on_device({2, 3, 0, 2, 5}, random_inputs({2, 3, 0, 2, 5}));
  EXPECT_EQ(results.dq, std::vector<float>(60, 0.0F));
  Stream stream;
  EXPECT_THAT(error_of([&] {
                l1_distance_forward({1, -1, 1, 1, 1}, nullptr, nullptr, nullptr, stream);
              }),
              HasSubstr("l1_distance on the GPU: queries is -1; it must be from 0 to 2147483647"));
}

}  // namespace
}  // namespace zoo::gpu
