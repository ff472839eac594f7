#include "zoo/gpu/fft.h"

#include <cufft.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "zoo/core/error.h"
#include "zoo/gpu/cuda/state.h"
#include "zoo/gpu/device.h"

namespace zoo::gpu {

namespace {

void check(cufftResult status, const char* what, const FftShape& shape) {
  if (status == CUFFT_SUCCESS) return;
  throw Error("cuFFT failed at {} {} rows of {} numbers on {}: error {} of cufft.h", what, shape.rows, shape.length,
              device().name, static_cast<int>(status));
}

struct Plan {
  cufftHandle handle = 0;
  std::size_t workspace_bytes = 0;
};

// Transforms in place, in a workspace that is given to each call.
Plan make_plan(const FftShape& shape, cufftType type) {
  int length = shape.length;
  int numbers = fft_row_floats(shape.length);
  int coefficients = numbers / 2;
  const bool forward = type == CUFFT_R2C;
  int* in = forward ? &numbers : &coefficients;
  int* out = forward ? &coefficients : &numbers;
  Plan plan;
  check(cufftCreate(&plan.handle), "planning", shape);
  check(cufftSetAutoAllocation(plan.handle, 0), "planning", shape);
  check(cufftMakePlanMany(plan.handle, 1, &length, in, 1, *in, out, 1, *out, type, shape.rows, &plan.workspace_bytes),
        "planning", shape);
  return plan;
}

// Kept for the shapes that come again in every step, and never destroyed: the driver may be gone by then.
const Plan& plan_of(const FftShape& shape, cufftType type) {
  check_fft(shape);
  static auto* plans = new std::map<std::tuple<int, int, cufftType>, Plan>;
  const std::tuple key(shape.length, shape.rows, type);
  auto known = plans->find(key);
  if (known == plans->end()) known = plans->emplace(key, make_plan(shape, type)).first;
  return known->second;
}

cufftHandle prepared(const FftShape& shape, cufftType type, float* workspace, Stream& stream) {
  const Plan& plan = plan_of(shape, type);
  check(cufftSetStream(plan.handle, stream.state().stream), "giving a stream to", shape);
  check(cufftSetWorkArea(plan.handle, workspace), "giving a workspace to", shape);
  return plan.handle;
}

}  // namespace

bool has_fft() {
  return true;
}

std::int64_t fft_workspace(const FftShape& shape) {
  if (shape.rows == 0) return 0;
  const std::size_t bytes =
      std::max(plan_of(shape, CUFFT_R2C).workspace_bytes, plan_of(shape, CUFFT_C2R).workspace_bytes);
  return static_cast<std::int64_t>((bytes + sizeof(float) - 1) / sizeof(float));
}

void fft_forward(const FftShape& shape, float* rows, float* workspace, Stream& stream) {
  if (shape.rows == 0) return;
  const cufftHandle plan = prepared(shape, CUFFT_R2C, workspace, stream);
  check(cufftExecR2C(plan, rows, reinterpret_cast<cufftComplex*>(rows)), "transforming", shape);
}

void fft_inverse(const FftShape& shape, float* rows, float* workspace, Stream& stream) {
  if (shape.rows == 0) return;
  const cufftHandle plan = prepared(shape, CUFFT_C2R, workspace, stream);
  check(cufftExecC2R(plan, reinterpret_cast<cufftComplex*>(rows), rows), "transforming back", shape);
}

}  // namespace zoo::gpu
