#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "zoo/core/random.h"
#include "zoo/core/task.h"

namespace zoo {

/// One fact in a long filler, asked for at the end: what passkey and needle have in common. With k digits and length T:
///
///     filler ... MARK d1 ... dk ... filler   ASK d1 ... d(k-1)
///                                  labels:    d1 d2 ... dk
///
/// Tokens 0 to 9 are the digits, 10 is MARK, 11 is ASK, the rest filler. The fact begins at one of T - 2k places.
class HiddenFact : public Task {
 public:
  /// `name` is the task's name in the registry; `depth` in percent of the places is where the fact begins, without it
  /// each example draws its place. Throws UsageError when the length leaves no place.
  HiddenFact(std::string name, const Options& options, std::optional<std::int64_t> depth);

  /// The options that the constructor reads.
  static OptionSchema schema();

  void generate(Split split, std::uint64_t seed, std::uint64_t index, Example& example) const final;
  std::int64_t vocab_size() const final { return vocab_size_; }
  std::int64_t seq_len() const final { return seq_len_; }
  std::vector<Slice> slices() const final;
  /// Without a depth: the tenth of the places in which the fact begins, named by percent.
  std::vector<Slice> groups() const final;
  std::string describe(const Example& example) const final;

 private:
  std::int64_t places() const { return seq_len_ - 2 * digits_; }
  void fill(std::vector<std::int32_t>& tokens, RandomStream& random) const;

  std::string name_;
  std::int64_t seq_len_, digits_, vocab_size_;
  bool repeated_filler_;
  std::optional<std::int64_t> depth_;
};

}  // namespace zoo
