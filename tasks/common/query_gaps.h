#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "zoo/core/random.h"

namespace zoo::tasks {

/// The gaps 0 .. size-1 between a context and its queries, with probabilities proportional to (gap+1)^(alpha-1), to be
/// drawn without replacement (Arora et al. 2023, Zoology, section 4).
///
/// A draw inverts the cumulative weights of the gaps that are left, kept in a binary tree so that drawing and removing
/// take log2(size) steps: the distribution is exactly that of sequential draws. The weights are whole numbers summing
/// to about 2^40, so drawing is integer arithmetic, the same on every machine; the rounding hides the last bits of
/// pow(), in which libraries differ. No weight is 0, so every gap can be drawn.
class QueryGaps {
 public:
  QueryGaps(std::int64_t size, double alpha)
      : leaves_(std::bit_ceil(static_cast<std::size_t>(size))), left_weights_(leaves_, 0) {
    std::vector<double> power(static_cast<std::size_t>(size));
    double sum = 0;
    for (std::size_t gap = 0; gap < power.size(); ++gap) {
      power[gap] = std::pow(static_cast<double>(gap + 1), alpha - 1);
      sum += power[gap];
    }
    for (std::size_t gap = 0; gap < power.size(); ++gap) {
      const auto rounded = static_cast<std::uint64_t>(std::llround(power[gap] / sum * 0x1p40));
      weights_.push_back(std::max<std::uint64_t>(1, rounded));
      total_ += weights_.back();
      for (std::size_t node = leaves_ + gap; node > 1; node /= 2) {
        if (node % 2 == 0) left_weights_[node / 2] += weights_.back();
      }
    }
  }

  /// Draws `count` different gaps into `gaps`; `left_weights` is working memory.
  void draw(std::int64_t count, RandomStream& random, std::vector<std::uint64_t>& left_weights,
            std::vector<std::int32_t>& gaps) const {
    left_weights.assign(left_weights_.begin(), left_weights_.end());
    gaps.clear();
    std::uint64_t total = total_;
    for (std::int64_t j = 0; j < count; ++j) {
      // Steps are computed rather than branched on: random branches cost most of the time otherwise.
      std::uint64_t rest = random.below(total);
      std::size_t node = 1;
      while (node < leaves_) {
        const std::uint64_t left = left_weights[node];
        const bool right = rest >= left;
        rest -= right ? left : 0;
        node = 2 * node + static_cast<std::size_t>(right);
      }
      const std::size_t gap = node - leaves_;
      const std::uint64_t weight = weights_[gap];
      gaps.push_back(static_cast<std::int32_t>(gap));
      total -= weight;
      for (; node > 1; node /= 2) left_weights[node / 2] -= node % 2 == 0 ? weight : 0;
    }
  }

 private:
  std::size_t leaves_;                       // a power of two
  std::vector<std::uint64_t> left_weights_;  // of the inner nodes from 1 (children 2i, 2i+1): the left child's sum
  std::vector<std::uint64_t> weights_;
  std::uint64_t total_ = 0;
};

}  // namespace zoo::tasks
