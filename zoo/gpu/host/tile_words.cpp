#include "zoo/gpu/host/tile_words.h"

#include <bit>
#include <cstdint>

#include "zoo/gpu/host/block.h"

namespace zoo::gpu::host {

namespace {

constexpr unsigned rows = 16;
constexpr unsigned columns = 8;

struct Operand {
  unsigned lane;  ///< of the hardware's layout
  float* c;
  const unsigned* a;
  const unsigned* b;
};

float tf32(unsigned bits) {
  return std::bit_cast<float>(bits & 0xffffe000);
}
// The first of a pair is in the lower half of a register.
float bf16(unsigned bits, unsigned which) {
  return std::bit_cast<float>(which == 0 ? bits << 16 : bits & 0xffff0000);
}

// The matrices of a warp, put together from its lanes' registers by the layouts of the PTX manual, 9.7.15.5.
template <unsigned depth>
struct Matrices {
  float a[rows][depth];
  float b[depth][columns];
};

void place(const Operand& from, Matrices<8>& to) {
  const unsigned group = from.lane / 4;
  const unsigned in_group = from.lane % 4;
  for (unsigned i = 0; i < 4; ++i) to.a[group + i % 2 * 8][in_group + i / 2 * 4] = tf32(from.a[i]);
  for (unsigned i = 0; i < 2; ++i) to.b[in_group + i * 4][group] = tf32(from.b[i]);
}

void place(const Operand& from, Matrices<16>& to) {
  const unsigned group = from.lane / 4;
  const unsigned in_group = from.lane % 4;
  for (unsigned i = 0; i < 4; ++i) {
    for (unsigned j = 0; j < 2; ++j) to.a[group + i % 2 * 8][in_group * 2 + i / 2 * 8 + j] = bf16(from.a[i], j);
  }
  for (unsigned i = 0; i < 2; ++i) {
    for (unsigned j = 0; j < 2; ++j) to.b[in_group * 2 + i * 8 + j][group] = bf16(from.b[i], j);
  }
}

template <unsigned depth>
void combine(unsigned, void* const* operands) {
  Matrices<depth> matrices;
  for (unsigned i = 0; i < 32; ++i) place(*static_cast<const Operand*>(operands[i]), matrices);
  for (unsigned i = 0; i < 32; ++i) {
    const auto& to = *static_cast<const Operand*>(operands[i]);
    for (unsigned j = 0; j < 4; ++j) {
      const unsigned row = to.lane / 4 + j / 2 * 8;
      const unsigned column = to.lane % 4 * 2 + j % 2;
      float sum = to.c[j];
      for (unsigned k = 0; k < depth; ++k) sum += matrices.a[row][k] * matrices.b[k][column];
      to.c[j] = sum;
    }
  }
}

constexpr WarpOperation tf32_operation = {"mma_tf32", combine<8>, false};
constexpr WarpOperation bf16_operation = {"mma_bf16", combine<16>, false};

void multiply(const WarpOperation& operation, float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2],
              Site site) {
  Operand operand = {tile_lane(), c, a, b};
  Block::running(operation.name).meet(0xffffffff, operation, &operand, site);
}

// tile_lane = lane * factor + offset modulo 32.
struct LanePermutation {
  explicit LanePermutation(const Block& block) {
    const std::uint64_t choice = Random(block.launch_seed()).next();
    factor = static_cast<unsigned>(choice) | 1U;
    offset = static_cast<unsigned>(choice >> 32);
  }

  unsigned factor;
  unsigned offset;
};

}  // namespace

void begin_copy(void* to, const void* from, std::size_t bytes, void (*arrive)(void*, const void*), Site site) {
  Block::running("copy_async").begin_copy({to, from, arrive}, bytes, site);
}

void commit_copies() {
  Block::running("copy_async_commit").commit_copies();
}

void wait_copies(std::size_t groups) {
  Block::running("copy_async_wait").wait_copies(groups);
}

unsigned tile_lane() {
  const Block& block = Block::running("a tile");
  const LanePermutation permutation(block);
  return (block.lane() * permutation.factor + permutation.offset) % 32;
}

unsigned lane_of_tile_lane(unsigned lane) {
  const LanePermutation permutation(Block::running("a tile"));
  // f f = 1 modulo 8 for odd f, and Newton's step doubles the bits that are right.
  const unsigned inverse = permutation.factor * (2 - permutation.factor * permutation.factor);
  return (lane - permutation.offset) * inverse % 32;
}

void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], Site site) {
  multiply(tf32_operation, c, a, b, site);
}

void mma_bf16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], Site site) {
  multiply(bf16_operation, c, a, b, site);
}

}  // namespace zoo::gpu::host
