#include "zoo/gpu/host/launch.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

#include "zoo/gpu/emulation.h"
#include "zoo/gpu/host/block.h"
#include "zoo/gpu/host/heap.h"
#include "zoo/gpu/host/queues.h"
#include "zoo/gpu/host/sanitizers.h"
#include "zoo/gpu/host/segmentation.h"

namespace zoo::gpu::host {

namespace {

// A stack and the page below it are two mappings, of which Linux gives a process 65530.
constexpr std::uint64_t most_fibers = 16384;

std::vector<std::uint32_t> shuffled_blocks(const Launch& launch) {
  std::vector<std::uint32_t> order(launch.blocks());
  std::iota(order.begin(), order.end(), 0U);
  Random random(schedule_seed() + launch.number);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

Block& block_of_this_thread() {
  static thread_local Block block;
  return block;
}

// How many threads of the machine run blocks. ThreadSanitizer needs no real parallelism, since blocks are in no order
// for it even on one; and it would have to be told what OpenMP orders.
int worker_count(const Launch& launch) {
  if (race_check || omp_in_parallel() != 0) return 1;
  const std::uint64_t most = std::max<std::uint64_t>(1, most_fibers / launch.threads());
  return static_cast<int>(std::min({launch.blocks(), most, static_cast<std::uint64_t>(omp_get_max_threads())}));
}

// Throws what kernels have written outside of allocations. With up to 512 allocations each launch is checked; a program
// with thousands, as the engine's tape has, is checked once in so many launches that each pays for 512 still.
void check_damage(const Launch& launch) {
  constexpr std::size_t allocations_a_launch = 512;
  static std::uint64_t unchecked = 0;
  if (++unchecked * allocations_a_launch < heap().allocations()) return;
  const std::uint64_t before = std::exchange(unchecked, 0) - 1;
  const std::string damage = heap().take_damage();
  if (damage.empty()) return;
  const std::string others = before == 0 ? "" : fmt::format(" or one of the {} before it", before);
  throw KernelFault("kernel '{}'{}: {} (found after the launch; ZOO_GPU_SEED={}, launch {})",
                    function_name(launch.function), others, damage, schedule_seed(), launch.number);
}

void run_grid(Launch& launch) {
  const std::vector<std::uint32_t> order = shuffled_blocks(launch);
  std::atomic<std::size_t> next = 0;
  std::exception_ptr fault;
  std::mutex fault_mutex;
  const auto work = [&] {
    watch_segmentation_faults();
    Block& block = block_of_this_thread();
    for (std::size_t i = next++; i < order.size(); i = next++) {
      try {
        block.run(launch, order[i]);
      } catch (...) {
        const std::lock_guard lock(fault_mutex);
        if (fault == nullptr) fault = std::current_exception();
        next = order.size();
      }
    }
  };
  const int workers = worker_count(launch);
  if (workers == 1) {
    work();
  } else {
#pragma omp parallel num_threads(workers)
    work();
  }
  acquire(&launch.ended);
  if (fault != nullptr) std::rethrow_exception(fault);
  check_damage(launch);
}

[[noreturn]] void refuse(const void* kernel, const std::string& what) {
  throw KernelFault("kernel '{}' cannot be launched on {}: {}", function_name(kernel), device().name, what);
}

}  // namespace

void check_launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes) {
  const Device& limits = device();
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const unsigned blocks[] = {grid.x, grid.y, grid.z};
  const unsigned sides[] = {block.x, block.y, block.z};
  for (int axis = 0; axis < 3; ++axis) {
    const char name = static_cast<char>('x' + axis);
    if (blocks[axis] == 0 || blocks[axis] > limits.grid_limit[axis])
      refuse(kernel, fmt::format("its grid has {} blocks along {}; it must have 1 to {}", blocks[axis], name,
                                 limits.grid_limit[axis]));
    if (sides[axis] == 0 || sides[axis] > limits.block_limit[axis])
      refuse(kernel, fmt::format("its blocks have {} threads along {}; they must have 1 to {}", sides[axis], name,
                                 limits.block_limit[axis]));
  }
  if (threads > limits.threads_per_block)
    refuse(kernel,
           fmt::format("its blocks have {} threads; they can have at most {}", threads, limits.threads_per_block));
  if (shared_bytes > limits.shared_bytes_per_block)
    refuse(kernel, fmt::format("it asks for {} bytes of shared memory; a block can have at most {}", shared_bytes,
                               limits.shared_bytes_per_block));
  if (std::uint64_t{grid.x} * grid.y * grid.z > std::uint64_t{1} << 31)
    refuse(kernel, "its grid has more than 2^31 blocks, which the host executor would not finish");
}

void check_pointer(const void* kernel, int number, const void* pointer) {
  if (pointer == nullptr) return;
  const std::lock_guard lock(device_mutex());
  try {
    heap().check_range(pointer, 0, fmt::format("argument {}", number));
  } catch (const Error& error) {
    throw KernelFault("kernel '{}': {}", function_name(kernel), error.what());
  }
}

void launch(const void* kernel, std::function<void()> as_one_thread, dim3 grid, dim3 block, std::size_t shared_bytes,
            Stream& stream) {
  watch_segmentation_faults();
  auto launch = std::make_shared<Launch>();
  launch->function = kernel;
  launch->kernel = std::move(as_one_thread);
  launch->grid = grid;
  launch->block = block;
  launch->shared_bytes = shared_bytes;
  launch->number = next_launch_number();
  enqueue(stream, {.kind = OperationKind::kernel, .run = [launch] { run_grid(*launch); }});
}

}  // namespace zoo::gpu::host
