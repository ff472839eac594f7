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
  Blas() : workspace_(std::size_t{32} << 20) { check(cublasCreate(&handle_), "starting cuBLAS"); }
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

// How cuBLAS rounds the operands of a product; its sums are in float32. (It may use no other mode than the default one,
// since each product says what it wants.)
cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::float32:
      break;
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
  }
  return CUBLAS_COMPUTE_32F_PEDANTIC;
}

// Never destroyed: the driver may be gone by then.
Blas& blas() {
  static auto* instance = new Blas;
  return *instance;
}

}  // namespace

void matmul(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
            Precision precision, Stream& stream) {
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
  check(cublasGemmStridedBatchedEx(blas().on(stream), shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                   shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, &one, b, CUDA_R_32F,
                                   shape.transpose_b ? k : n, shape.k * shape.n, a, CUDA_R_32F,
                                   shape.transpose_a ? m : k, shape.m * shape.k, &kept, c, CUDA_R_32F, n,
                                   shape.m * shape.n, batch, compute_type(precision), CUBLAS_GEMM_DEFAULT),
        "a product by cuBLAS");
}

}  // namespace zoo::gpu
