#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "zoo/core/random.h"

namespace zoo::tasks {

/// A set of tokens, one bit each.
class TokenSet {
 public:
  void reserve(std::int64_t vocab_size) {
    const auto words = static_cast<std::size_t>(vocab_size / 64 + 1);
    if (words_.size() < words) words_.resize(words, 0);
  }
  bool contains(std::int32_t token) const { return ((words_[word(token)] >> (token & 63)) & 1) != 0; }
  void insert(std::int32_t token) { words_[word(token)] |= std::uint64_t{1} << (token & 63); }
  void erase(const std::vector<std::int32_t>& tokens) {
    for (const std::int32_t token : tokens) words_[word(token)] &= ~(std::uint64_t{1} << (token & 63));
  }

 private:
  static std::size_t word(std::int32_t token) { return static_cast<std::size_t>(token) >> 6; }
  std::vector<std::uint64_t> words_;
};

/// A uniform token of [begin, end).
inline std::int32_t draw_token(std::int64_t begin, std::int64_t end, RandomStream& random) {
  return static_cast<std::int32_t>(begin +
                                   static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(end - begin))));
}

/// Makes `drawn` hold `count` different tokens of [begin, end) in random order, none of which is in `taken`, and adds
/// them to it. Draws again what is taken, so a token takes 1 / (share of the range that is left) draws.
inline void draw_distinct(std::int64_t count, std::int64_t begin, std::int64_t end, RandomStream& random,
                          TokenSet& taken, std::vector<std::int32_t>& drawn) {
  drawn.clear();
  while (drawn.size() < static_cast<std::size_t>(count)) {
    const std::int32_t token = draw_token(begin, end, random);
    if (taken.contains(token)) continue;
    taken.insert(token);
    drawn.push_back(token);
  }
}

/// A uniform permutation in place (Fisher and Yates).
template <typename Value>
void shuffle(std::vector<Value>& values, RandomStream& random) {
  for (std::size_t left = values.size(); left > 1; --left) std::swap(values[left - 1], values[random.below(left)]);
}

}  // namespace zoo::tasks
