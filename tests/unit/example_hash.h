#pragma once

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <string>

#include "zoo/core/task.h"

namespace zoo::test {

/// FNV-1a over the bytes, lowest first, of examples: tokens, labels, groups, then the bits of reals and targets.
class ExampleHash {
 public:
  void add(const Example& example) {
    for (const auto* values : {&example.tokens, &example.labels, &example.groups}) {
      for (const std::int32_t value : *values) add(static_cast<std::uint32_t>(value));
    }
    for (const auto* values : {&example.reals, &example.targets}) {
      for (const float value : *values) add(std::bit_cast<std::uint32_t>(value));
    }
  }
  /// The first `count` examples of a split, seed 0.
  void add(const Task& task, Split split, std::uint64_t count) {
    Example example;
    for (std::uint64_t index = 0; index < count; ++index) {
      task.generate(split, 0, index, example);
      add(example);
    }
  }
  std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  void add(std::uint32_t word) {
    for (int shift = 0; shift < 32; shift += 8) hash_ = (hash_ ^ ((word >> shift) & 0xff)) * 0x100000001b3;
  }

  std::uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace zoo::test
