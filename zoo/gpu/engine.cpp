#include "zoo/gpu/engine.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "zoo/core/accelerator.h"
#include "zoo/core/error.h"
#include "zoo/core/pool.h"
#include "zoo/gpu/bfloat16_copies.h"
#include "zoo/gpu/device.h"
#include "zoo/gpu/memory.h"
#include "zoo/gpu/staging.h"
#include "zoo/gpu/step_graphs.h"

namespace zoo::gpu {

namespace {

// Made when the device is chosen, and never destroyed: the driver may be gone by then.
Stream& stream() {
  static auto* instance = new Stream;
  return *instance;
}

StepGraphs& graphs() {
  static auto* instance = new StepGraphs(stream());
  return *instance;
}

// Tensors in unified memory. A GPU's blocks are cached by size class, so that a step of the steady state allocates
// nothing and sees the same addresses each time: a block that is free again may still be read by kernels under way, but
// what is written to it next comes after them, in the order of the stream or because the host waits. On the emulated
// device each tensor is an allocation of its own, whose red zones and poison show what goes wrong.
class Gpu final : public Accelerator {
 public:
  Gpu() { stream(); }
  std::string name() const override { return device().name; }

  void* allocate(std::size_t bytes) override {
    const std::size_t size = block_bytes(bytes);
    {
      const std::lock_guard lock(mutex_);
      std::vector<void*>& blocks = free_[size];
      if (!blocks.empty()) {
        pool_account(static_cast<std::ptrdiff_t>(size), 0);
        return take_last(blocks);
      }
    }
    void* block = from_device(size);
    pool_account(static_cast<std::ptrdiff_t>(size), static_cast<std::ptrdiff_t>(size));
    return block;
  }

  void free(void* block, std::size_t bytes) noexcept override {
    const std::size_t size = block_bytes(bytes);
    if (!device().emulated) {
      const std::lock_guard lock(mutex_);
      free_[size].push_back(block);
      pool_account(-static_cast<std::ptrdiff_t>(size), 0);
      return;
    }
    // What was recorded may read it still. (A GPU's blocks stay allocated, and what is recorded later comes later.)
    if (graphs().recording()) {
      free_when_given_.push_back(block);
    } else {
      detail::device_free_later(block);
    }
    pool_account(-static_cast<std::ptrdiff_t>(size), -static_cast<std::ptrdiff_t>(size));
  }

  std::size_t block_bytes(std::size_t bytes) const override {
    return device().emulated ? std::max<std::size_t>(bytes, 1) : pool_class_bytes(bytes);
  }

  void set_to_zero(void* memory, std::size_t bytes) override { fill_async(memory, 0, bytes, engine_stream()); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    copy_on_device_async(to, from, bytes, engine_stream());
  }
  void upload(void* to, const void* from, std::size_t bytes) override {
    if (bytes == 0) return;
    if (bytes > Staging::most_bytes || staging_.bytes_under_way() > Staging::most_bytes_under_way) wait();
    if (bytes > Staging::most_bytes) {
      std::memcpy(to, from, bytes);
    } else {
      if (!staging_.has_block(bytes)) give_graph();  // the driver allocates, which it had better not while recording
      staging_.upload(to, from, bytes, engine_stream());
    }
  }
  void to_bfloat16(void* to, const void* from, std::int64_t count) override {
    gpu::to_bfloat16(static_cast<const float*>(from), static_cast<std::uint16_t*>(to), count, engine_stream());
  }
  void from_bfloat16(void* to, const void* from, std::int64_t count) override {
    gpu::from_bfloat16(static_cast<const std::uint16_t*>(from), static_cast<float*>(to), count, engine_stream());
  }
  void wait() override {
    give_graph();
    stream().synchronize();
    staging_.reuse();
  }

  void begin_graphs(StepPart part) override { graphs().begin(part); }
  void end_graphs() noexcept override {
    graphs().end();
    free_what_was_recorded();
  }
  GraphCounts graph_counts() const override { return graphs().counts(); }

 private:
  static void* take_last(std::vector<void*>& blocks) {
    void* last = blocks.back();
    blocks.pop_back();
    return last;
  }

  void give_graph() {
    graphs().give();
    free_what_was_recorded();
  }
  void free_what_was_recorded() noexcept {
    for (void* block : free_when_given_) detail::device_free_later(block);
    free_when_given_.clear();
  }

  // A new block; where there is no room, all that is cached goes back first.
  void* from_device(std::size_t size) {
    // Unified memory would grow beyond the device's by moving pages to and fro, which nobody wants to wait for.
    const std::size_t limit = device().memory_bytes;
    if (taken_ + size > limit) give_back_cached();
    if (taken_ + size > limit) {
      throw Error("out of memory on {}: a tensor of {} bytes was asked for, {} of {} are free; try a smaller batch",
                  device().name, size, limit - std::min(limit, taken_), limit);
    }
    if (device().emulated) return unified_allocate(size);  // which counts by itself
    give_graph();  // as in upload(); a step of the steady state does not come here
    void* block = unified_allocate(size);
    taken_ += size;
    return block;
  }

  void give_back_cached() {
    give_graph();  // whose work may use what is freed here: the device waits for it, but not for what is recorded
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_) {
      while (!blocks.empty()) {
        device_free(take_last(blocks));
        taken_ -= size;
        pool_account(0, -static_cast<std::ptrdiff_t>(size));
      }
    }
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::size_t taken_ = 0;
  std::vector<void*> free_when_given_;
  Staging staging_;
};

}  // namespace

Stream& engine_stream() {
  zoo::detail::kernels_given();
  graphs().expect_work();
  return stream();
}

}  // namespace zoo::gpu

namespace zoo {

std::unique_ptr<Accelerator> make_accelerator() {
  return std::make_unique<gpu::Gpu>();
}

}  // namespace zoo
