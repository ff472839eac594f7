#include "zoo/cpu/isa.h"

#include <oneapi/dnnl/dnnl.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "zoo/core/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/isa.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

// The Highway target that this copy was compiled for.
std::int64_t compiled_target() {
  return HWY_TARGET;
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo {

namespace cpu {

HWY_EXPORT(compiled_target);

namespace {

struct Level {
  std::string_view name;
  std::int64_t target;  // Highway's
  dnnl_cpu_isa_t onednn;
};

// From the best down. Highway numbers better targets lower.
constexpr std::array levels = {Level{"avx512", HWY_AVX3, dnnl_cpu_isa_avx512_core},
                               Level{"avx2", HWY_AVX2, dnnl_cpu_isa_avx2}, Level{"sse4", HWY_SSE4, dnnl_cpu_isa_sse41}};

// Restricts Highway and oneDNN to `level` and what lies below it.
void restrict_to(const Level& level) {
  hwy::DisableTargets(level.target - 1);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  dnnl_set_max_cpu_isa(level.onednn);
}

// Acts on ZOO_ISA, and returns what is wrong with it, or "".
std::string obey_environment() {
  const char* wanted = std::getenv("ZOO_ISA");
  if (wanted == nullptr || *wanted == '\0') return "";
  for (const Level& level : levels) {
    if (level.name != wanted) continue;
    if ((hwy::SupportedTargets() & level.target) == 0) {
      return fmt::format("ZOO_ISA is {}, which this machine does not have; unset it to use the best that it has",
                         wanted);
    }
    restrict_to(level);
    return "";
  }
  return fmt::format("ZOO_ISA is '{}'; it can be sse4, avx2 or avx512, or unset for the best that the machine has",
                     wanted);
}

// When the library is loaded: before any kernel has run, and before oneDNN has looked at the machine.
const std::string environment_error = obey_environment();

std::int64_t chosen_target() {
  return HWY_DYNAMIC_DISPATCH(compiled_target)();
}

}  // namespace

}  // namespace cpu

std::string isa_name() {
  if (!cpu::environment_error.empty()) throw UsageError("{}", cpu::environment_error);
  const std::int64_t target = cpu::chosen_target();
  for (const cpu::Level& level : cpu::levels) {
    if (target == level.target) return std::string(level.name);
  }
  throw Error("kernels run on {}, which is none of the instruction sets they were compiled for",
              hwy::TargetName(target));
}

}  // namespace zoo

#endif  // HWY_ONCE
