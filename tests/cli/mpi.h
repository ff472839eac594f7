#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "tests/cli/small_sweep.h"

namespace zoo::test {

/// To be called first in a fixture's SetUp: skips the test where zoo was built without MPI.
inline void require_mpi() {
  if (std::string(ZOO_MPIEXEC).empty()) GTEST_SKIP() << "this zoo was built without MPI";
  // Containers run tests as root, which Open MPI asks to be confirmed.
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  // Open MPI ends with memory that it has not given back, for which AddressSanitizer would give every rank an exit
  // code.
  const char* options = std::getenv("ASAN_OPTIONS");
  setenv("ASAN_OPTIONS", (std::string(options == nullptr ? "" : options) + ":detect_leaks=0").c_str(), 1);
}

/// The command line of zoo under mpirun.
inline Arguments under_mpi(const Arguments& arguments, int processes) {
  return Arguments{ZOO_MPIEXEC, "--oversubscribe", "-n", std::to_string(processes), ZOO_COMMAND} + arguments;
}

inline ProcessResult run_mpi(const Arguments& arguments, int processes) {
  // Ranks that wait for each other spin: on a machine with fewer cores, and under a sanitizer, that takes its time.
  return run_process({.arguments = under_mpi(arguments, processes), .time_limit = std::chrono::minutes(10)});
}

}  // namespace zoo::test
