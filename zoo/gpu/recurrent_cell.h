#pragma once

#include "zoo/cpu/recurrent_cell.h"
#include "zoo/gpu/stream.h"

namespace zoo::gpu {

/// The recurrent networks of zoo/cpu/recurrent_cell.h, which says what the fields mean; all pointers are to device
/// memory. A launch a step: each needs all of the state before it, which is a barrier of the whole grid, and so every
/// multiprocessor reads a part of the matrix, where blocks that keep some sequences for all steps would each read all
/// of it at every step. Throws Error for sizes below 0 or beyond 2147483647. Any length from 1 on.
void recurrent_cell_forward(const cpu::CellSizes& sizes, const cpu::CellInputs<float>& inputs,
                            const cpu::CellOutputs<float>& outputs, Stream& stream);
void recurrent_cell_backward(const cpu::CellSizes& sizes, const cpu::CellInputs<float>& inputs,
                             const cpu::CellResults<float>& results, const cpu::CellGradients<float>& into,
                             Stream& stream);

/// Bytes that they move through shared memory (shared_traffic.h).
double recurrent_cell_forward_traffic(const cpu::CellSizes& sizes);
double recurrent_cell_backward_traffic(const cpu::CellSizes& sizes);

}  // namespace zoo::gpu
