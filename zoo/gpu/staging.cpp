#include "zoo/gpu/staging.h"

#include <cstring>

#include "zoo/core/pool.h"
#include "zoo/gpu/memory.h"

namespace zoo::gpu {

bool Staging::has_block(std::size_t bytes) const {
  const auto blocks = free_.find(pool_class_bytes(bytes));
  return blocks != free_.end() && !blocks->second.empty();
}

void Staging::upload(void* device, const void* from, std::size_t bytes, Stream& stream) {
  const std::size_t size = pool_class_bytes(bytes);
  std::vector<void*>& blocks = free_[size];
  if (blocks.empty()) blocks.push_back(pinned_allocate(size));
  under_way_.push_back({size, blocks.back()});
  blocks.pop_back();
  bytes_under_way_ += size;
  void* block = under_way_.back().memory;
  std::memcpy(block, from, bytes);
  copy_to_device_async(device, block, bytes, stream);
}

void Staging::reuse() {
  for (const Block& block : under_way_) free_[block.size].push_back(block.memory);
  under_way_.clear();
  bytes_under_way_ = 0;
}

}  // namespace zoo::gpu
