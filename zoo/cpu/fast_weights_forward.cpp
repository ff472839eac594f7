#include "zoo/core/parallel.h"
#include "zoo/cpu/fast_weights.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "zoo/cpu/fast_weights_forward.cpp"
#include "hwy/foreach_target.h"  // NOLINT(misc-include-cleaner): compiles this file once for each instruction set
#include "hwy/highway.h"
#include "zoo/cpu/fast_weights_piece-inl.h"

HWY_BEFORE_NAMESPACE();
namespace zoo::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void forward_head(D d, const FastWeightsHead& head, const FastWeightsInputs<T>& inputs,
                               const FastWeightsOutputs<T>& outputs, FastWeightsScratch<T>& scratch,
                               Record<T>& record) {
  const FastWeightsSizes& sizes = *head.sizes;
  const auto L = static_cast<std::size_t>(sizes.maps);
  const FastMaps<T> maps = head.maps(outputs.maps);
  copy_maps(sizes, without_sums(head.maps(inputs.maps), sizes.first == 0), maps);
  const HeadNorm<T> norm = head.norm(inputs);
  std::int64_t until_checkpoint = sizes.checkpoint_spacing();
  T* checkpoint = outputs.checkpoints;
  if (checkpoint != nullptr) checkpoint += head.index() * sizes.checkpoints() * sizes.checkpoint_values();
  for (std::int64_t begin = 0; begin < sizes.length;) {
    if (checkpoint != nullptr && until_checkpoint-- == 0) {
      copy_maps(sizes, constant_maps(maps), laid_out(sizes, checkpoint, sizes.mini_batch > max_piece));
      checkpoint += sizes.checkpoint_values();
      until_checkpoint = sizes.checkpoint_spacing() - 1;
    }
    const Tokens<T> tokens(head, sizes.piece(begin), inputs);
    take_gradients(d, norm, tokens, L, maps, scratch, record);
    read_out(d, norm, tokens, L, maps, scratch, record, head.rows(outputs.z, begin));
    advance(d, tokens, L, record, scratch, maps);
    begin += tokens.piece.n;
  }
}

// Items [begin, end) of the B * H pairs of a sequence and a head.
template <typename T>
void forward_part(const FastWeightsSizes& sizes, const FastWeightsInputs<T>& inputs,
                  const FastWeightsOutputs<T>& outputs, std::int64_t begin, std::int64_t end) {
  FastWeightsScratch<T> scratch(sizes);
  Record<T> record(sizes, false);
  for (std::int64_t item = begin; item < end; ++item) {
    forward_head(hn::ScalableTag<T>(), FastWeightsHead{&sizes, item / sizes.heads, item % sizes.heads}, inputs, outputs,
                 scratch, record);
  }
}

// For the dispatch, which takes no templates.
void fast_weights_forward_float(const FastWeightsSizes& sizes, const FastWeightsInputs<float>& inputs,
                                const FastWeightsOutputs<float>& outputs, std::int64_t begin, std::int64_t end) {
  forward_part(sizes, inputs, outputs, begin, end);
}
void fast_weights_forward_double(const FastWeightsSizes& sizes, const FastWeightsInputs<double>& inputs,
                                 const FastWeightsOutputs<double>& outputs, std::int64_t begin, std::int64_t end) {
  forward_part(sizes, inputs, outputs, begin, end);
}

}  // namespace zoo::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace zoo::cpu {

HWY_EXPORT(fast_weights_forward_float);
HWY_EXPORT(fast_weights_forward_double);

void fast_weights_forward(const FastWeightsSizes& sizes, const FastWeightsInputs<float>& inputs,
                          const FastWeightsOutputs<float>& outputs) {
  parallel_for(sizes.batch * sizes.heads, sizes.heads_of_a_thread(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(fast_weights_forward_float)(sizes, inputs, outputs, begin, end);
  });
}

void fast_weights_forward(const FastWeightsSizes& sizes, const FastWeightsInputs<double>& inputs,
                          const FastWeightsOutputs<double>& outputs) {
  parallel_for(sizes.batch * sizes.heads, sizes.heads_of_a_thread(), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(fast_weights_forward_double)(sizes, inputs, outputs, begin, end);
  });
}

}  // namespace zoo::cpu

#endif  // HWY_ONCE
