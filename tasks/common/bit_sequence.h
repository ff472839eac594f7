#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "zoo/core/task.h"

namespace zoo {

/// What parity and majority have in common: T-1 fair bits, then a read token at which the question about all of them is
/// asked; with the option `cumulative` it is asked at every bit too, about those so far.
class BitSequence : public Task {
 public:
  /// `name` is the task's name in the registry.
  BitSequence(std::string name, const Options& options);

  /// The options that the constructor takes.
  static OptionSchema schema();

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const final;
  std::int64_t vocab_size() const final { return 3; }
  std::int64_t seq_len() const final { return seq_len_; }
  std::vector<Slice> slices() const final { return {{"seq_len", seq_len_}}; }
  /// With cumulative labels: the number of bits that a label is about, in octaves.
  std::vector<Slice> groups() const final;
  std::string describe(const Example& example) const final;

 protected:
  /// The label, 0 or 1, after `bits` bits of which `ones` are ones.
  virtual std::int32_t answer(std::int64_t ones, std::int64_t bits) const = 0;

 private:
  std::string name_;
  std::int64_t seq_len_;
  bool cumulative_;
};

}  // namespace zoo
