#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// Pinned memory through which the host's numbers go to the device while the host goes on. A block is used again once
/// the stream has been waited for.
class Staging {
 public:
  /// Above it whoever uploads had better wait: for one upload, and for all since the last reuse().
  static constexpr std::size_t most_bytes = std::size_t{1} << 20;
  static constexpr std::size_t most_bytes_under_way = std::size_t{64} << 20;

  /// Whether an upload of so many bytes needs no new block.
  bool has_block(std::size_t bytes) const;
  /// Copies `bytes` of the host's memory, which may change at once, in the order of the stream.
  void upload(void* device, const void* from, std::size_t bytes, Stream& stream);
  /// Says that the stream has done all copies.
  void reuse();
  std::size_t bytes_under_way() const { return bytes_under_way_; }

 private:
  struct Block {
    std::size_t size;
    void* memory;
  };

  std::map<std::size_t, std::vector<void*>> free_;
  std::vector<Block> under_way_;
  std::size_t bytes_under_way_ = 0;
};

}  // namespace zoo::gpu
