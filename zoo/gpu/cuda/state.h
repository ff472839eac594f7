#pragma once

#include "zoo/gpu/cuda/check.h"
#include "zoo/gpu/stream.h"

struct zoo::gpu::Stream::State {
  cudaStream_t stream = nullptr;
};

struct zoo::gpu::Event::State {
  cudaEvent_t event = nullptr;
};
