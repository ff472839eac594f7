#include "zoo/check/answer.h"
#include "zoo/check/checks.h"
#include "zoo/core/device.h"

namespace zoo::check {

namespace {

struct Setting {
  DType dtype;
  std::int64_t length;
};

// The longer sequence in float32 alone: the kernels are one source for both precisions.
constexpr Setting settings[] = {{DType::f64, usual_length}, {DType::f32, usual_length}, {DType::f32, blocked_length}};

std::string describe(const Setting& setting) {
  return fmt::format("{} at length {}", dtype_name(setting.dtype), setting.length);
}

}  // namespace

void check_fused(const Trial& trial, Verdict& verdict) {
  for (const Setting& setting : settings) {
    const Tensor x = trial.input("fused", 2, setting.length, setting.dtype);
    const Tensor weights = trial.input("weights", 2, setting.length, setting.dtype);
    const Subject subject(trial, {.dtype = setting.dtype});
    Pass pass{.chunks = {setting.length - 7, 7}};
    const Rounding rounding(trial, {}, x, weights, pass);
    const Answer fused = answer(subject, x, weights, pass);
    pass.fallbacks = true;
    compare(verdict, fused, answer(subject, x, weights, pass), rounding, setting.dtype, describe(setting));
  }
}

void check_precision(const Trial& trial, Verdict& verdict) {
  for (const Setting& setting : settings) {
    if (setting.dtype == DType::f64) continue;
    const Tensor x = trial.input("precision", 2, setting.length, setting.dtype);
    const Tensor weights = trial.input("weights", 2, setting.length, setting.dtype);
    const Subject subject(trial, {.dtype = setting.dtype});
    const Rounding rounding(trial, {}, x, weights);
    compare(verdict, rounding.reference(), answer(subject, x, weights), rounding, setting.dtype, describe(setting));
  }
}

void check_devices(const Trial&, Verdict& verdict) {
  verdict.skip(on_gpu()    ? "float32 runs on the GPU and float64 on the CPU: the check precision has compared them"
               : gpu_built ? "a process has one device: ask again with --device gpu"
                           : "this build computes on the CPU alone");
}

}  // namespace zoo::check
