#include "zoo/gpu/matmul.h"

namespace zoo::gpu {

void matmul(const cpu::MatmulShape& shape, const float* a, const float* b, const float* bias, float* c,
            Precision precision, Stream& stream) {
  matmul_tiled(shape, a, b, bias, c, precision, stream);
}

}  // namespace zoo::gpu
