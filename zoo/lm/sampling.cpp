#include "zoo/lm/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "zoo/core/error.h"

namespace zoo {

namespace {

std::vector<float> penalised(std::span<const float> logits, std::span<const std::int32_t> seen, double penalty) {
  std::vector<float> result(logits.begin(), logits.end());
  if (penalty == 1) return result;
  for (const std::int32_t token : seen) {
    const auto at = static_cast<std::size_t>(token);
    const auto logit = static_cast<double>(logits[at]);
    result[at] = static_cast<float>(logit > 0 ? logit / penalty : logit * penalty);
  }
  return result;
}

}  // namespace

std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> seen, const SamplingOptions& options,
                    RandomStream& random) {
  const std::vector<float> values = penalised(logits, seen, options.repetition_penalty);
  const auto largest = std::ranges::max_element(values);
  const bool numbers = std::ranges::none_of(values, [](float value) { return std::isnan(value); });
  if (largest == values.end() || !numbers || !std::isfinite(*largest)) {
    throw Error("the model's logits are not finite: it may have diverged in training");
  }
  if (options.temperature == 0) return static_cast<std::int32_t>(largest - values.begin());

  std::vector<std::int32_t> tokens(values.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto likelier = [&](std::int32_t a, std::int32_t b) {
    const float x = values[static_cast<std::size_t>(a)], y = values[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  if (options.top_k > 0 && options.top_k < std::ssize(tokens)) {
    std::ranges::nth_element(tokens, tokens.begin() + options.top_k, likelier);
    tokens.resize(static_cast<std::size_t>(options.top_k));
  }
  // Only a nucleus needs an order; without one tokens stay in theirs, so that the draw is the same everywhere.
  if (options.top_p < 1) {
    std::ranges::sort(tokens, likelier);
  } else {
    std::ranges::sort(tokens);
  }
  std::vector<double> weights;
  weights.reserve(tokens.size());
  for (const std::int32_t token : tokens) {
    const float logit = values[static_cast<std::size_t>(token)];
    weights.push_back(std::exp(static_cast<double>(logit - *largest) / options.temperature));
  }
  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (options.top_p < 1) {
    const double wanted = options.top_p * total;
    double sum = 0;
    std::size_t kept = 0;
    while (kept < weights.size() && (kept == 0 || sum < wanted)) sum += weights[kept++];
    weights.resize(kept);
    total = sum;
  }
  double left = random.uniform() * total;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    left -= weights[i];
    if (left < 0) return tokens[i];
  }
  // Rounding left a trace: it belongs to the last token that has a weight.
  std::size_t last = weights.size() - 1;
  while (last > 0 && weights[last] == 0) --last;
  return tokens[last];
}

void check_sampling(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw UsageError("the temperature is {}; it must not be negative", options.temperature);
  }
  if (options.top_k < 0) throw UsageError("top-k is {}; it must be at least 1, or 0 for all tokens", options.top_k);
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw UsageError("top-p is {}; it must be above 0 and at most 1", options.top_p);
  }
  if (!(options.repetition_penalty > 0) || !std::isfinite(options.repetition_penalty)) {
    throw UsageError("the repetition penalty is {}; it must be above 0 (1: none)", options.repetition_penalty);
  }
}

}  // namespace zoo
