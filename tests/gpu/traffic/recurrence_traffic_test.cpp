// What linear_recurrence's kernels and the delta rule's move through shared memory (traffic_testing.h).
#include "traffic_testing.h"
#include "zoo/gpu/delta_rule.h"
#include "zoo/gpu/linear_recurrence.h"

namespace zoo::gpu {
namespace {

TEST(SharedTraffic, OfLinearRecurrence) {
  struct Case {
    cpu::RecurrenceSizes sizes;
    cpu::RecurrenceDecay decay;
    bool steps;
  };
  const Case cases[] = {
      {{.batch = 2, .length = 128, .heads = 2, .groups = 2, .dk = 64, .dv = 64}, cpu::RecurrenceDecay::none, false},
      {{.batch = 1, .length = 70, .heads = 4, .groups = 2, .dk = 20, .dv = 72}, cpu::RecurrenceDecay::head, false},
      {{.batch = 1, .length = 130, .heads = 2, .groups = 1, .dk = 80, .dv = 16},
       cpu::RecurrenceDecay::head_and_step,
       true},
  };
  for (const Case& each : cases) {
    const cpu::RecurrenceSizes& sizes = each.sizes;
    const cpu::RecurrenceDecay decay = each.decay;
    const bool steps = each.steps;
    Stream stream;
    Memory memory(stream);
    const std::int64_t rows = sizes.batch * sizes.length, heads = rows * sizes.heads;
    const std::int64_t keys = rows * sizes.groups * sizes.dk, values = heads * sizes.dv;
    const std::int64_t state = sizes.batch * sizes.heads * sizes.dk * sizes.dv;
    const bool decays = decay != cpu::RecurrenceDecay::none;
    cpu::RecurrenceInputs<float> in = {};
    in.q = memory.take(keys);
    in.k = memory.take(keys);
    in.v = memory.take(values);
    in.initial = memory.take(state);
    if (decays) in.log_decay = memory.take(heads);
    if (steps) in.step = memory.take(heads);
    if (steps) in.skip = memory.take(sizes.heads);
    in.decay = decay;
    const std::int64_t checkpoints = linear_recurrence_checkpoints(sizes, decay);
    const cpu::RecurrenceOutputs<float> out = {memory.take(values), memory.take(state), memory.take(checkpoints)};
    EXPECT_EQ(counted(stream, [&] { linear_recurrence_forward(sizes, in, out, tf32, stream); }),
              linear_recurrence_forward_traffic(sizes, decay))
        << sizes.length;
    cpu::RecurrenceGradients<float> into = {};
    into.q = memory.take(keys);
    into.k = memory.take(keys);
    into.v = memory.take(values);
    into.initial = memory.take(state);
    if (decays) into.log_decay = memory.take(heads);
    if (steps) into.step = memory.take(heads);
    if (steps) into.skip = memory.take(sizes.batch * sizes.heads);
    const cpu::RecurrenceOutputs<const float> dout = {memory.take(values), memory.take(state), out.checkpoints};
    float* scratch = memory.take(checkpoints);
    EXPECT_EQ(counted(stream, [&] { linear_recurrence_backward(sizes, in, dout, into, scratch, tf32, stream); }),
              linear_recurrence_backward_traffic(sizes, decay, {.decay = decays, .step = steps}))
        << sizes.length;
  }
}

TEST(SharedTraffic, OfLinearRecurrenceOfChannels) {
  struct Case {
    cpu::RecurrenceSizes sizes;
    bool bonus;
    RecurrenceWanted wanted;
    bool last_state;
  };
  // Whole chunks; slices of the values, and parts that share keys, with a bonus; slices of the keys, and a sub-chunk of
  // two steps; widths that are no multiple of 8, and fewer steps than a sub-chunk has; with what is wanted or not.
  const Case cases[] = {
      {{.batch = 2, .length = 128, .heads = 2, .groups = 2, .dk = 64, .dv = 64}, false, {.decay = true}, true},
      {{.batch = 1, .length = 70, .heads = 4, .groups = 2, .parts = 2, .dk = 20, .dv = 72},
       true,
       {.decay = true, .bonus = true},
       false},
      {{.batch = 1, .length = 82, .heads = 2, .groups = 1, .parts = 2, .dk = 80, .dv = 16}, false, {}, true},
      {{.batch = 1, .length = 9, .heads = 1, .groups = 1, .dk = 133, .dv = 70}, true, {}, false},
      {{.batch = 1, .length = 40, .heads = 1, .groups = 1, .dk = 5, .dv = 3}, true, {.bonus = true}, true},
  };
  constexpr cpu::RecurrenceDecay decay = cpu::RecurrenceDecay::channel_and_step;
  for (const auto& [sizes, bonus, wanted, last_state] : cases) {
    Stream stream;
    Memory memory(stream);
    const std::int64_t rows = sizes.batch * sizes.length, heads = rows * sizes.heads;
    const std::int64_t keys = rows * sizes.groups * sizes.dk, values = heads * sizes.dv, channels = heads * sizes.dk;
    const std::int64_t state = sizes.batch * sizes.heads * sizes.dk * sizes.dv;
    const cpu::RecurrenceInputs<float> in = {memory.take(keys),
                                             memory.take(keys),
                                             memory.take(values),
                                             memory.take(state),
                                             memory.take(channels),
                                             bonus ? memory.take(sizes.heads * sizes.dk) : nullptr,
                                             nullptr,
                                             nullptr,
                                             decay};
    const std::int64_t checkpoints = linear_recurrence_checkpoints(sizes, decay);
    const cpu::RecurrenceOutputs<float> out = {memory.take(values), memory.take(state), memory.take(checkpoints)};
    EXPECT_EQ(counted(stream, [&] { linear_recurrence_forward(sizes, in, out, tf32, stream); }),
              linear_recurrence_forward_traffic(sizes, decay))
        << sizes.length;
    const cpu::RecurrenceGradients<float> into = {
        memory.take(keys * sizes.parts),
        memory.take(keys * sizes.parts),
        memory.take(values),
        memory.take(state),
        wanted.decay ? memory.take(channels) : nullptr,
        wanted.bonus ? memory.take(sizes.batch * sizes.heads * sizes.dk) : nullptr,
        nullptr,
        nullptr};
    const cpu::RecurrenceOutputs<const float> dout = {memory.take(values), last_state ? memory.take(state) : nullptr,
                                                      out.checkpoints};
    float* scratch = memory.take(checkpoints);
    EXPECT_EQ(counted(stream, [&] { linear_recurrence_backward(sizes, in, dout, into, scratch, tf32, stream); }),
              linear_recurrence_backward_traffic(sizes, decay, wanted))
        << sizes.length;
  }
}

TEST(SharedTraffic, OfDeltaRule) {
  const cpu::DeltaRuleSizes cases[] = {{.batch = 2, .length = 128, .heads = 2, .dk = 64, .dv = 64},
                                       {.batch = 1, .length = 70, .heads = 1, .dk = 72, .dv = 20},
                                       {.batch = 1, .length = 9, .heads = 2, .dk = 5, .dv = 70}};
  for (const cpu::DeltaRuleSizes& sizes : cases) {
    const bool decays = sizes.length != 128, last = sizes.length == 9;
    Stream stream;
    Memory memory(stream);
    const std::int64_t heads = sizes.batch * sizes.length * sizes.heads;
    const std::int64_t keys = heads * sizes.dk, values = heads * sizes.dv;
    const std::int64_t state = sizes.batch * sizes.heads * sizes.dk * sizes.dv;
    const cpu::DeltaRuleInputs<float> in = {memory.take(keys),   memory.take(keys),
                                            memory.take(values), memory.take(heads),
                                            memory.take(state),  decays ? memory.take(heads) : nullptr};
    float* checkpoints = memory.take(delta_rule_checkpoints(sizes));
    const cpu::DeltaRuleOutputs<float> out = {memory.take(values), memory.take(state)};
    float* workspace = memory.take(delta_rule_forward_workspace(sizes));
    EXPECT_EQ(counted(stream, [&] { delta_rule_forward(sizes, in, out, checkpoints, workspace, tf32, stream); }),
              delta_rule_forward_traffic(sizes))
        << sizes.length;
    const cpu::DeltaRuleGradients<float> into = {memory.take(keys),   memory.take(keys),
                                                 memory.take(values), memory.take(heads),
                                                 memory.take(state),  decays ? memory.take(heads) : nullptr};
    const cpu::DeltaRuleOutputs<const float> dout = {memory.take(values), last ? memory.take(state) : nullptr};
    float* backward = memory.take(delta_rule_backward_workspace(sizes));
    EXPECT_EQ(counted(stream, [&] { delta_rule_backward(sizes, in, dout, checkpoints, into, backward, tf32, stream); }),
              delta_rule_backward_traffic(sizes, decays, last))
        << sizes.length;
  }
}

}  // namespace
}  // namespace zoo::gpu
