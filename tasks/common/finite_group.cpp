#include "tasks/common/finite_group.h"

#include <algorithm>

#include "zoo/core/error.h"

namespace zoo {

namespace {

bool is_even(std::string_view permutation) {
  int inversions = 0;
  for (std::size_t i = 0; i < permutation.size(); ++i) {
    for (std::size_t j = i + 1; j < permutation.size(); ++j) inversions += permutation[i] > permutation[j] ? 1 : 0;
  }
  return inversions % 2 == 0;
}

std::string composed(std::string_view a, std::string_view b) {
  std::string result;
  for (const char image : b) result += a[static_cast<std::size_t>(image - '1')];
  return result;
}

}  // namespace

FiniteGroup::FiniteGroup(std::string_view name) {
  if (name == "S5" || name == "A5") {
    make_permutations(name == "A5");
  } else if (name == "Z60") {
    make_cyclic(60);
  } else {
    throw UsageError("no group '{}' is known; known are S5, A5 and Z60", name);
  }
}

void FiniteGroup::make_permutations(bool even_only) {
  std::string permutation = "12345";
  do {
    if (!even_only || is_even(permutation)) elements_.push_back(permutation);
  } while (std::ranges::next_permutation(permutation).found);
  order_ = static_cast<std::int32_t>(elements_.size());
  for (const std::string& a : elements_) {
    for (const std::string& b : elements_) {
      const auto at = std::ranges::lower_bound(elements_, composed(a, b));
      table_.push_back(static_cast<std::uint8_t>(at - elements_.begin()));
    }
  }
}

void FiniteGroup::make_cyclic(std::int32_t order) {
  order_ = order;
  for (std::int32_t a = 0; a < order; ++a) {
    elements_.push_back(std::to_string(a));
    for (std::int32_t b = 0; b < order; ++b) table_.push_back(static_cast<std::uint8_t>((a + b) % order));
  }
}

}  // namespace zoo
