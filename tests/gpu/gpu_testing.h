#pragma once

#include <gmock/gmock.h>

#include <string>

#include "zoo/core/error.h"
#include "zoo/gpu/emulation.h"
#include "zoo/gpu/host/sanitizers.h"
#include "zoo/gpu/launch.h"
#include "zoo/gpu/memory.h"

namespace zoo::gpu {

/// What `run` throws, or "nothing was thrown".
template <typename Run>
std::string error_of(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline constexpr int schedules = 20;

/// In how many of `schedules` random orders run() is right. None of them may throw.
template <typename Run>
int times_right(const Run& run) {
  int right = 0;
  for (int seed = 0; seed < schedules; ++seed) {
    set_schedule_seed(static_cast<std::uint64_t>(seed));
    right += run() ? 1 : 0;
  }
  return right;
}

/// A race that the random order shows: with ThreadSanitizer it is thrown, with the kernel's name; without, at least one
/// of 20 orders gives wrong numbers. run() says whether they are right.
template <typename Run>
void expect_race(const char* kernel, const Run& run) {
  if constexpr (host::race_check) {
    const std::string error = error_of(run);
    EXPECT_THAT(error, testing::HasSubstr("race: "));
    EXPECT_THAT(error, testing::HasSubstr(std::string("kernel '") + kernel + "'"));
  } else {
    EXPECT_LT(times_right(run), schedules);
  }
}

/// The same for a race that only ThreadSanitizer can show, since every order of whole pieces gives the right numbers.
template <typename Run>
void expect_race_seen_by_thread_sanitizer_only(const char* kernel, const Run& run) {
  if constexpr (host::race_check) {
    expect_race(kernel, run);
  } else {
    EXPECT_EQ(times_right(run), schedules);
  }
}

}  // namespace zoo::gpu
