#include "zoo/gpu/matmul.h"

#include <cublas_v2.h>

#include "zoo/core/error.h"
#include "zoo/gpu/cuda/state.h"
#include "zoo/gpu/device.h"
#include "zoo/gpu/extent.h"
#include "zoo/gpu/memory.h"

namespace zoo::gpu {

namespace {

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error("{} failed on {}: {}", what, device().name, cublasGetStatusString(status));
}

// cuBLAS, with a workspace of its own: given one, it repeats bit for bit on one stream (its manual, 2.1.4).
class Blas {
 public:
  Blas() : workspace_(std::size_t{32} << 20) {
    check(cublasCreate(&handle_), "starting cuBLAS");
    check(cublasSetMathMode(handle_, CUBLAS_PEDANTIC_MATH), "asking cuBLAS for float32");
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // cuBLAS takes back its own workspace whenever the stream is set.
  cublasHandle_t on(Stream& stream) {
    check(cublasSetStream(handle_, stream.state().stream), "giving cuBLAS a stream");
    check(cublasSetWorkspace(handle_, workspace_.data(), workspace_.bytes()), "giving cuBLAS a workspace");
    return handle_;
  }

 private:
  DeviceBuffer<char> workspace_;
  cublasHandle_t handle_ = nullptr;
};

// Never destroyed: the driver may be gone by then.
Blas& blas() {
  static auto* instance = new Blas;
  return *instance;
}

}  // namespace

void matmul(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
            Stream& stream) {
  const int batch = extent("matmul", "batch", shape.batch);
  const int m = extent("matmul", "m", shape.m);
  const int n = extent("matmul", "n", shape.n);
  const int k = extent("matmul", "k", shape.k);
  if (batch == 0 || m == 0 || n == 0) return;
  const bool with_bias = shape.bias && bias != nullptr;
  if ((with_bias || k == 0) && !shape.accumulate) fill_rows(with_bias ? bias : nullptr, shape.batch * m, n, c, stream);
  if (k == 0) return;
  // cuBLAS counts columns first, so that it sees the transposes: C' = B' A'.
  const float one = 1;
  const float kept = with_bias || shape.accumulate ? 1 : 0;
  check(cublasSgemmStridedBatched(blas().on(stream), shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                  shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &one, b,
                                  shape.transpose_b ? k : n, shape.k * shape.n, a, shape.transpose_a ? m : k,
                                  shape.m * shape.k, &kept, c, n, shape.m * shape.n, batch),
        "a product by cuBLAS");
}

}  // namespace zoo::gpu
