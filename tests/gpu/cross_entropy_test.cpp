#include "zoo/gpu/cross_entropy.h"

#include <algorithm>
#include <string>

#include "gpu_testing.h"
#include "numbers.h"

namespace zoo::gpu {
namespace {

constexpr double factor = 0.125;

struct Results {
  std::vector<double> losses;
  std::vector<float> gradient;
  std::vector<std::int32_t> largest;
};

std::vector<std::int32_t> labels_of(std::int64_t rows, std::int64_t vocab) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row) labels[row] = static_cast<std::int32_t>((row * 31 + vocab - 1) % vocab);
  return labels;
}

// The gradient is written over the logits.
Results on_device(std::int64_t rows, std::int64_t vocab, const std::vector<float>& logits) {
  const std::vector<std::int32_t> labels = labels_of(rows, vocab);
  Stream stream;
  DeviceBuffer<float> device_logits = to_device(std::span(logits), stream);
  const DeviceBuffer<std::int32_t> device_labels = to_device(std::span(labels), stream);
  DeviceBuffer<double> losses(labels.size());
  DeviceBuffer<std::int32_t> largest(labels.size());
  cross_entropy({device_logits.data(), device_labels.data(), rows, vocab, losses.data(), device_logits.data(), factor,
                 largest.data()},
                stream);
  return {to_host(losses, stream), to_host(device_logits, stream), to_host(largest, stream)};
}

void expect_the_definition(std::int64_t rows, std::int64_t vocab, const std::vector<float>& logits) {
  const std::vector<std::int32_t> labels = labels_of(rows, vocab);
  const Results results = on_device(rows, vocab, logits);
  std::vector<double> gradient(logits.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* own = logits.data() + row * vocab;
    const float* best = std::max_element(own, own + vocab);
    double sum = 0;
    for (std::int64_t i = 0; i < vocab; ++i) sum += std::exp(double{own[i]} - *best);
    for (std::int64_t i = 0; i < vocab; ++i)
      gradient[row * vocab + i] = factor * (std::exp(double{own[i]} - *best) / sum - (i == labels[row] ? 1 : 0));
    // The sum errs by some 2^-24 for each time that a thread adds or rescales, 3 at vocab 700, and 8 more.
    EXPECT_NEAR(results.losses[row], std::log(sum) + *best - own[labels[row]], 1e-6) << vocab;
    EXPECT_EQ(results.largest[row], best - own) << vocab;
  }
  // A vocabulary of one has no gradient but the rounding of 1 - 1.
  if (vocab > 1) {
    EXPECT_LT(relative_error(results.gradient, gradient), 5e-7) << vocab;
  }
}

TEST(CrossEntropy, IsTheDefinition) {
  for (const auto& [rows, vocab] : {std::pair{1, 1}, {3, 17}, {5, 33}, {2, 700}})
    expect_the_definition(rows, vocab, normal_numbers(rows * vocab, 1, 3));
}

TEST(CrossEntropy, LargeLogitsAndEqualOnes) {
  std::vector<float> logits = normal_numbers(3 * 70, 1, 3);
  for (float& logit : logits) logit = std::round(logit);  // the largest is there several times
  expect_the_definition(3, 70, logits);
  for (float& logit : logits) logit = 1000 * logit - 2000;
  expect_the_definition(3, 70, logits);
  // A token that is ruled out has no probability and no gradient.
  std::fill_n(logits.begin(), 5, -std::numeric_limits<float>::infinity());
  const Results results = on_device(3, 70, logits);
  EXPECT_THAT(std::span(results.gradient).first(5), testing::Each(0.0F));
  for (const float value : results.gradient) ASSERT_TRUE(std::isfinite(value));
}

TEST(CrossEntropy, RepeatsBitForBitInEveryOrder) {
  const std::vector<float> logits = normal_numbers(2 * 300, 1, 3);
  set_schedule_seed(1);
  const Results first = on_device(2, 300, logits);
  set_schedule_seed(2);
  const Results second = on_device(2, 300, logits);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.gradient, second.gradient);
}

TEST(CrossEntropy, RefusesAnEmptyVocabulary) {
  Stream stream;
  EXPECT_THAT(error_of([&] {
                cross_entropy({nullptr, nullptr, 1, 0}, stream);
              }),
              testing::HasSubstr("cross_entropy on the GPU: vocab is 0; it must be from 1"));
}

}  // namespace
}  // namespace zoo::gpu
