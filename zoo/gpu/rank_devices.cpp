#include "zoo/gpu/rank_devices.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "zoo/core/error.h"

namespace zoo::gpu {

namespace {

struct LocalRank {
  const char* variable;
  const char* text;
};

std::optional<LocalRank> told_by_launcher() {
  for (const char* variable : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    if (const char* text = std::getenv(variable)) return LocalRank{variable, text};
  }
  return std::nullopt;
}

}  // namespace

int local_rank() {
  const std::optional<LocalRank> told = told_by_launcher();
  if (!told) return 0;
  int rank = 0;
  const char* end = told->text + std::strlen(told->text);
  const auto [stop, failure] = std::from_chars(told->text, end, rank);
  if (failure != std::errc{} || stop != end || rank < 0) {
    throw UsageError("{} is '{}'; a launcher sets it to the number of the process on its machine, from 0 on",
                     told->variable, told->text);
  }
  return rank;
}

std::string place_of_rank() {
  if (!told_by_launcher()) return "";
  char machine[256] = {};
  if (gethostname(machine, sizeof(machine) - 1) != 0) std::strcpy(machine, "(unknown)");
  return fmt::format(" for local rank {} on the machine {}", local_rank(), machine);
}

void require_a_device_each(Collective& ranks, const DeviceIdentity& own, const std::string& device_name,
                           int devices_here) {
  // Each rank writes its own place of a list of zeros: the sum is what all of them say.
  const auto count = static_cast<std::size_t>(ranks.size());
  std::vector<std::uint64_t> words(2 * count);
  words[2 * static_cast<std::size_t>(ranks.rank())] = own[0];
  words[2 * static_cast<std::size_t>(ranks.rank()) + 1] = own[1];
  ranks.sum(std::span(words));
  for (std::size_t second = 1; second < count; ++second) {
    for (std::size_t first = 0; first < second; ++first) {
      if (words[2 * first] != words[2 * second] || words[2 * first + 1] != words[2 * second + 1]) continue;
      throw UsageError(
          "ranks {} and {} of {} have the same GPU, and NCCL needs one for each; this machine shows {} ({}), so start "
          "as many processes on it (mpirun --map-by ppr:{}:node ...), let CUDA_VISIBLE_DEVICES show more, or sum by "
          "MPI in a build with -DCMAKE_DISABLE_FIND_PACKAGE_NCCL=ON",
          first, second, count, devices_here, device_name, devices_here);
    }
  }
}

}  // namespace zoo::gpu
