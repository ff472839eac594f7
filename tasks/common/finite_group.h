#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// A finite group by its multiplication table. Element 0 is the identity.
class FiniteGroup {
 public:
  /// "S5": the 120 permutations of five things in lexicographic order; "A5": the 60 even ones among them, in the same
  /// order; "Z60": the integers under addition modulo 60. Throws UsageError for another name.
  explicit FiniteGroup(std::string_view name);

  std::int32_t order() const { return order_; }
  /// a * b. For permutations b acts first: (a * b)(x) = a(b(x)).
  std::int32_t product(std::int32_t a, std::int32_t b) const {
    return table_[static_cast<std::size_t>(a * order_ + b)];
  }
  /// The element as mathematicians write it: "21345", the images of 1 to 5, or the integer.
  const std::string& element(std::int32_t a) const { return elements_[static_cast<std::size_t>(a)]; }

 private:
  void make_permutations(bool even_only);
  void make_cyclic(std::int32_t order);

  std::int32_t order_ = 0;
  std::vector<std::uint8_t> table_;  // [order, order]
  std::vector<std::string> elements_;
};

}  // namespace zoo
