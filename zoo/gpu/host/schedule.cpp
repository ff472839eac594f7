#include "zoo/gpu/host/schedule.h"

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <random>
#include <string_view>

#include "zoo/core/error.h"
#include "zoo/gpu/emulation.h"

namespace zoo::gpu {

namespace {

std::uint64_t seed_of_this_process() {
  const char* given = std::getenv("ZOO_GPU_SEED");
  if (given == nullptr || *given == '\0') return std::random_device()();
  const std::string_view text = given;
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    throw UsageError("ZOO_GPU_SEED is '{}'; it must be a whole number from 0 to 18446744073709551615", text);
  return seed;
}

std::atomic<std::uint64_t>& seed() {
  static std::atomic<std::uint64_t> value = seed_of_this_process();
  return value;
}

std::atomic<std::uint64_t> launches = 0;
std::atomic<std::uint64_t> choices = 0;

}  // namespace

std::uint64_t schedule_seed() {
  return seed();
}

void set_schedule_seed(std::uint64_t value) {
  seed() = value;
  launches = 0;
  choices = 0;
}

std::uint64_t host::next_launch_number() {
  return launches++;
}
std::uint64_t host::next_choice_number() {
  return choices++;
}

}  // namespace zoo::gpu
