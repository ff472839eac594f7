#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "zoo/core/tensor.h"
#include "zoo/io/safetensors.h"

namespace zoo {

/// A tensor that a checkpoint must have.
struct ExpectedTensor {
  std::string name;
  Shape shape;
  bool optional = false;
};

/// The tensors of a public checkpoint: those of model.safetensors, or of all the shards that
/// model.safetensors.index.json names, as if they lay in one file.
class PublicWeights {
 public:
  /// Reads the headers. Throws UsageError, naming the file, when there is neither file, when one is not what it should
  /// be, when the index names a shard that is not there or that is not a plain file name, and when it does not say what
  /// the shards hold.
  explicit PublicWeights(const std::filesystem::path& folder);

  std::size_t count() const { return shard_of_.size(); }
  bool has(const std::string& name) const { return shard_of_.contains(name); }
  /// The values: F32 and F64 as they are, F16 and BF16 as f32. Throws Error when the file cannot be read any more.
  Tensor read(const std::string& name) const;

  /// Throws UsageError that lists every tensor that is missing, of another shape, not of real numbers, or unknown.
  /// Names that end in one of `ignored` may be there.
  void require(std::span<const ExpectedTensor> expected, std::span<const std::string> ignored) const;

 private:
  void read_index(const std::filesystem::path& index);
  const SafetensorsInfo& info(const std::string& name) const;

  std::filesystem::path source_;  // model.safetensors or the index, for messages
  std::vector<SafetensorsFile> shards_;
  std::map<std::string, std::size_t> shard_of_;
};

}  // namespace zoo
