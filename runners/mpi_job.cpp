#include "runners/mpi_job.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "zoo/core/error.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;

// How many processes the launcher says that there are: Open MPI, MPICH and Intel MPI, Slurm's PMI.
int processes_of_job() {
  constexpr std::array names = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
  for (const char* name : names) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 1;
}

// Beside the command, or where it is installed.
std::vector<fs::path> places() {
  const fs::path command = fs::read_symlink("/proc/self/exe").parent_path();
  return {command / "zoo_mpi.so", command.parent_path() / ZOO_LIBRARY_FOLDER / "zoo" / "zoo_mpi.so"};
}

}  // namespace

std::unique_ptr<Ranks> open_mpi_job() {
  if (processes_of_job() < 2) return nullptr;
  for (const fs::path& place : places()) {
    if (!fs::exists(place)) continue;
    // Stays open: what it holds is used until the process ends.
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) throw Error("cannot open {}: {}", place.string(), dlerror());
    using Open = Ranks* (*)();
    const auto open = reinterpret_cast<Open>(dlsym(library, "zoo_open_mpi"));
    if (open == nullptr) throw Error("{} is not zoo's library for MPI: {}", place.string(), dlerror());
    return std::unique_ptr<Ranks>(open());
  }
  throw UsageError(
      "this process is one of {} of an MPI job, but this zoo was built without MPI; install libopenmpi-dev and build "
      "it again, or start one zoo on each machine with --shard I/N",
      processes_of_job());
}

}  // namespace zoo
