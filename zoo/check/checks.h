#pragma once

#include "zoo/check/subject.h"
#include "zoo/check/verdict.h"

/// The checks, a function each. They may throw: that is a failure too.
namespace zoo::check {

// parameters.cpp
void check_parameters(const Trial& trial, Verdict& verdict);
void check_save_load(const Trial& trial, Verdict& verdict);
// gradients.cpp
void check_gradient(const Trial& trial, Verdict& verdict);
void check_second_order(const Trial& trial, Verdict& verdict);
void check_backward(const Trial& trial, Verdict& verdict);
// precision.cpp
void check_fused(const Trial& trial, Verdict& verdict);
void check_precision(const Trial& trial, Verdict& verdict);
void check_devices(const Trial& trial, Verdict& verdict);
// chunks.cpp
void check_chunks(const Trial& trial, Verdict& verdict);
// rows.cpp
void check_rows(const Trial& trial, Verdict& verdict);
void check_positionwise(const Trial& trial, Verdict& verdict);
// causality.cpp
void check_causality(const Trial& trial, Verdict& verdict);
// batch.cpp
void check_batch(const Trial& trial, Verdict& verdict);
// repeatability.cpp
void check_repeatable(const Trial& trial, Verdict& verdict);
void check_memory(const Trial& trial, Verdict& verdict);
void check_dropout(const Trial& trial, Verdict& verdict);
// range.cpp
void check_long(const Trial& trial, Verdict& verdict);
void check_large(const Trial& trial, Verdict& verdict);
// growth.cpp
void check_flops(const Trial& trial, Verdict& verdict);
void check_state_bytes(const Trial& trial, Verdict& verdict);
// learning.cpp
void check_learning(const Trial& trial, Verdict& verdict);

/// Length of most checks: odd, and more than twice the mini-batch of 16 that test-time training uses.
inline constexpr std::int64_t usual_length = 37;
/// A length that crosses the edges of kernels which work on 64 or 128 positions at a time.
inline constexpr std::int64_t blocked_length = 150;

}  // namespace zoo::check
