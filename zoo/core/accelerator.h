#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "zoo/core/device.h"
#include "zoo/core/graph_scope.h"

namespace zoo {

/// What the engine asks of a device that is not the CPU. Its memory can be read and written by the host too, once the
/// kernels that touch it are done.
class Accelerator {
 public:
  virtual ~Accelerator() = default;
  virtual std::string name() const = 0;

  /// Memory for a tensor, of at least a byte. Throws Error with the bytes asked for and free when there is not enough.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void free(void* block, std::size_t bytes) noexcept = 0;
  /// How many bytes of a block its owner may use, who asked for `bytes`.
  virtual std::size_t block_bytes(std::size_t bytes) const = 0;

  /// Done in the order of the kernels; the host does not wait.
  virtual void set_to_zero(void* memory, std::size_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// From the host's memory, which may change as soon as this returns.
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  /// `count` floats rounded to bfloat16, of two bytes each, to nearest and ties to even; and such as floats again.
  virtual void to_bfloat16(void* to, const void* from, std::int64_t count) = 0;
  virtual void from_bfloat16(void* to, const void* from, std::int64_t count) = 0;
  /// Waits for all kernels. Throws what they did wrong.
  virtual void wait() = 0;

  /// GraphScope's: from begin_graphs() to end_graphs() work is recorded and given to the device as graphs, those of one
  /// `part` of a step alike.
  virtual void begin_graphs(StepPart part) = 0;
  virtual void end_graphs() noexcept = 0;
  virtual GraphCounts graph_counts() const = 0;
};

/// The GPU, in builds that have one (zoo/gpu/engine.cpp). Throws Error when it cannot be used.
std::unique_ptr<Accelerator> make_accelerator();

/// The GPU in use. on_gpu() must be true.
Accelerator& accelerator();

namespace detail {
/// Says that kernels are given to the GPU, for which the next access of the host waits.
void kernels_given();
/// Says that there is a tensor: from here on the device stays what it is.
void tensors_exist();
}  // namespace detail

}  // namespace zoo
