#include "zoo/ops/fast_weights.h"

#include <algorithm>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/cpu/fast_weights.h"
#include "zoo/gpu/fast_weights.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/fast_weights_definition.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

// Pointers to the tensors of maps; nullptr where one is undefined.
template <typename At, typename AnyTensor>
auto map_pointers(const At& at, std::span<AnyTensor> tensors) {
  using T = std::remove_pointer_t<decltype(at.if_defined(tensors[0]))>;
  cpu::FastMaps<T> maps;
  for (std::size_t l = 0; 4 * l < tensors.size(); ++l) {
    const auto part = [&](std::size_t i) { return at.if_defined(tensors[4 * l + i]); };
    maps[l] = {part(0), part(1), part(2), part(3)};
  }
  return maps;
}

template <typename At>
cpu::FastWeightsInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[q_input]),     at(inputs[k_input]),
          at(inputs[v_input]),     at(inputs[eta_input]),
          at(inputs[scale_input]), at(inputs[weight_input]),
          at(inputs[bias_input]),  map_pointers(at, inputs.subspan(maps_input))};
}

// Outputs: z, and W, b, W_sum, b_sum of each map.
class FastWeightsOp final : public FusedOp {
 public:
  /// `checkpoints`: whether there can be a backward pass.
  FastWeightsOp(const cpu::FastWeightsSizes& sizes, const FastWeightsOptions& options, bool checkpoints)
      : sizes_(sizes), options_(options), keeps_checkpoints_(checkpoints) {}

  std::string_view name() const override { return "fast_weights"; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const DType dtype = inputs[q_input].dtype();
    Tensors outputs = {Tensor::empty(inputs[q_input].shape(), dtype)};
    for (const Tensor& each : inputs.subspan(maps_input)) outputs.push_back(Tensor::empty(each.shape(), dtype));
    if (keeps_checkpoints_) {
      checkpoints_ =
          Tensor::empty({sizes_.batch, sizes_.heads, sizes_.checkpoints(), sizes_.checkpoint_values()}, dtype);
    }
    dispatch(
        dtype, name(),
        [&](auto at) {
          using T = typename decltype(at)::Real;
          const cpu::FastWeightsOutputs<T> into{at(outputs[0]), map_pointers(at, std::span(outputs).subspan(1)),
                                                at.if_defined(checkpoints_)};
          if constexpr (at.gpu) {
            Tensor workspace = Tensor::empty({gpu::fast_weights_forward_workspace(sizes_)});
            gpu::fast_weights_forward(sizes_, pointers(at, inputs), into, at(workspace), at.precision(), at.stream());
          } else {
            cpu::fast_weights_forward(sizes_, pointers(at, inputs), into);
          }
        },
        has_gpu_kernel());
    count_flops(flops());
    if constexpr (gpu_built) {
      gpu::model_shared_traffic([&] {
        return gpu::fast_weights_fit(sizes_) ? gpu::fast_weights_forward_traffic(sizes_, checkpoints_.defined()) : 0;
      });
    }
    return outputs;
  }

  Tensors backward(const Executed& executed) override {
    const std::span<const Tensor> inputs = executed.inputs;
    const DType dtype = inputs[q_input].dtype();
    Tensors gradients;
    for (const Tensor& input : inputs) gradients.push_back(Tensor::empty(input.shape(), dtype));
    // One for each sequence (and head), summed below.
    Tensor scale = Tensor::empty({sizes_.batch, sizes_.heads, options_.mini_batch}, dtype);
    Tensor weight = Tensor::empty({sizes_.batch, sizes_.heads, sizes_.widths[0]}, dtype);
    Tensor bias = Tensor::empty(weight.shape(), dtype);
    const Tensor dz = executed.output_grad(0);
    dispatch(
        dtype, name(),
        [&](auto at) {
          using T = typename decltype(at)::Real;
          const cpu::FastWeightsGradients<T> into{at(gradients[q_input]),
                                                  at(gradients[k_input]),
                                                  at(gradients[v_input]),
                                                  at(gradients[eta_input]),
                                                  at(scale),
                                                  at(weight),
                                                  at(bias),
                                                  map_pointers(at, std::span(gradients).subspan(maps_input))};
          const T* checkpoints = at(std::as_const(checkpoints_));
          const auto map_gradients = map_pointers(at, executed.output_grads.subspan(1));
          if constexpr (at.gpu) {
            Tensor workspace = Tensor::empty({gpu::fast_weights_backward_workspace(sizes_)});
            gpu::fast_weights_backward(sizes_, pointers(at, inputs), checkpoints, at(dz), map_gradients, into,
                                       at(workspace), at.precision(), at.stream());
          } else {
            cpu::fast_weights_backward(sizes_, pointers(at, inputs), checkpoints, at(dz), map_gradients, into);
          }
        },
        has_gpu_kernel());
    count_flops(2 * flops());
    if constexpr (gpu_built) {
      gpu::model_shared_traffic(
          [&] { return gpu::fast_weights_fit(sizes_) ? gpu::fast_weights_backward_traffic(sizes_) : 0; });
    }
    gradients[scale_input] = sum(sum(scale, 0), 0);
    gradients[weight_input] = sum(weight, 0);
    gradients[bias_input] = sum(bias, 0);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  Tensors fallback(std::span<const Tensor> inputs) override { return fast_weights_definition(inputs, options_); }

 private:
  // Products of the dual form: of all maps the results in both views and the update, of all but the first the gradient
  // by its inputs; within the mini-batch, the causal halves of scores and of what they weigh.
  double flops() const {
    double each_token = 0, each_pair = 0;
    for (std::size_t l = 0; l < static_cast<std::size_t>(sizes_.maps); ++l) {
      const auto in = static_cast<double>(sizes_.widths[l]), out = static_cast<double>(sizes_.widths[l + 1]);
      each_token += (l == 0 ? 3 : 4) * 2 * in * out;
      each_pair += 2 * (in + out);
    }
    double pairs = 0;
    std::int64_t index = options_.first;
    for (std::int64_t t = 0; t < sizes_.length; ++t) {
      pairs += static_cast<double>(index + 1);
      index = (index + 1) % options_.mini_batch;
    }
    return static_cast<double>(sizes_.batch * sizes_.heads) *
           (static_cast<double>(sizes_.length) * each_token + pairs * each_pair);
  }

  bool has_gpu_kernel() const {
    if constexpr (gpu_built) return on_gpu() && gpu::fast_weights_fit(sizes_);
    return false;
  }

  cpu::FastWeightsSizes sizes_;
  FastWeightsOptions options_;
  bool keeps_checkpoints_;
  Tensor checkpoints_;  // of the forward pass, for the backward pass
};

void check_inputs(const FastWeightsInputs& inputs, const FastWeightsOptions& options) {
  const Tensor& q = inputs.q;
  check_real(q, "fast_weights");
  for (const Tensor* each :
       {&inputs.k, &inputs.v, &inputs.eta, &inputs.token_scale, &inputs.norm_weight, &inputs.norm_bias}) {
    check_same_real(q, *each, "fast_weights");
  }
  const bool fits =
      q.rank() == 4 && inputs.k.shape() == q.shape() && inputs.v.shape() == q.shape() &&
      inputs.eta.shape() == q.shape().remove(3) && inputs.token_scale.shape() == Shape{options.mini_batch} &&
      inputs.norm_weight.shape() == Shape{q.dim(2), q.dim(3)} && inputs.norm_bias.shape() == inputs.norm_weight.shape();
  if (!fits) {
    throw Error(
        "fast_weights of q {}, k {}, v {}, eta {}, token_scale {}, norm {} and {}: needs q, k, v [B,T,H,d], eta "
        "[B,T,H], token_scale [{}], norm [H,d]",
        q.shape().str(), inputs.k.shape().str(), inputs.v.shape().str(), inputs.eta.shape().str(),
        inputs.token_scale.shape().str(), inputs.norm_weight.shape().str(), inputs.norm_bias.shape().str(),
        options.mini_batch);
  }
  if (options.first < 0 || options.first >= options.mini_batch) {
    throw Error("fast_weights: token {} of a mini-batch of {}; the first is 0", options.first, options.mini_batch);
  }
}

void check_maps(const Tensor& q, std::span<const FastMap> maps) {
  if (maps.empty() || maps.size() > 2) {
    throw Error("fast_weights takes one map or two, it was given {}", maps.size());
  }
  const std::int64_t B = q.dim(0), H = q.dim(2), d = q.dim(3);
  const std::int64_t hidden = maps.front().W.shape().rank() == 4 ? maps.front().W.dim(3) : 0;
  for (std::size_t l = 0; l < maps.size(); ++l) {
    const FastMap& map = maps[l];
    const Shape W{B, H, l == 0 ? d : hidden, l + 1 == maps.size() ? d : hidden};
    const Shape b = W.with(2, 1);
    for (const Tensor* each : {&map.W, &map.b, &map.W_sum, &map.b_sum}) {
      check_same_real(q, *each, "fast_weights");
      const Shape& wanted = each == &map.W || each == &map.W_sum ? W : b;
      if (each->shape() != wanted) {
        throw Error("fast_weights of q {}: map {} holds a tensor {}, needed is {}", q.shape().str(), l + 1,
                    each->shape().str(), wanted.str());
      }
    }
  }
}

}  // namespace

FastWeights fast_weights(const FastWeightsInputs& inputs, std::span<const FastMap> maps,
                         const FastWeightsOptions& options) {
  check_inputs(inputs, options);
  check_maps(inputs.q, maps);
  FastWeights result{Tensor::zeros(inputs.q.shape(), inputs.q.dtype()), {maps.begin(), maps.end()}};
  if (inputs.q.size() == 0) return result;
  Tensors all = {inputs.q, inputs.k, inputs.v, inputs.eta, inputs.token_scale, inputs.norm_weight, inputs.norm_bias};
  for (const FastMap& map : maps) all.insert(all.end(), {map.W, map.b, map.W_sum, map.b_sum});
  cpu::FastWeightsSizes sizes{.batch = inputs.q.dim(0),
                              .length = inputs.q.dim(1),
                              .heads = inputs.q.dim(2),
                              .maps = static_cast<std::int64_t>(maps.size()),
                              .widths = {inputs.q.dim(3)},
                              .mini_batch = options.mini_batch,
                              .first = options.first,
                              .epsilon = options.epsilon};
  for (std::size_t l = 0; l < maps.size(); ++l) sizes.widths[l + 1] = maps[l].W.dim(3);
  const bool recorded = taping() && std::ranges::any_of(all, &Tensor::requires_grad);
  const Tensors outputs = zoo::apply(std::make_unique<FastWeightsOp>(sizes, options, recorded), all);
  result.z = outputs[0];
  for (std::size_t l = 0; l < maps.size(); ++l) {
    result.maps[l] = {outputs[4 * l + 1], outputs[4 * l + 2], outputs[4 * l + 3], outputs[4 * l + 4]};
  }
  return result;
}

namespace {

struct CaseSizes {
  std::int64_t B, T, H, d, hidden;  // hidden = 0: one map
  std::int64_t mini_batch, first;
};

OpCase fast_weights_case(std::string name, const CaseSizes& s) {
  OpCase result{.name = std::move(name), .inputs = {}, .call = {}};
  const Shape rows{s.B, s.T, s.H, s.d};
  for (int i = 0; i < 3; ++i) result.inputs.push_back({.shape = rows});
  result.inputs.push_back({.shape = rows.remove(3)});
  result.inputs.push_back({.shape = {s.mini_batch}, .kind = InputSpec::Kind::positive});
  for (int i = 0; i < 2; ++i) result.inputs.push_back({.shape = {s.H, s.d}});
  const auto add_map = [&](std::int64_t in, std::int64_t out) {
    for (int i = 0; i < 2; ++i) {
      result.inputs.push_back({.shape = {s.B, s.H, in, out}});
      result.inputs.push_back({.shape = {s.B, s.H, 1, out}});
    }
  };
  if (s.hidden == 0) {
    add_map(s.d, s.d);
  } else {
    add_map(s.d, s.hidden);
    add_map(s.hidden, s.d);
  }
  result.call = [options = FastWeightsOptions{.mini_batch = s.mini_batch, .first = s.first, .epsilon = 1e-3}](
                    std::span<const Tensor> in) {
    PoolVector<FastMap> maps;
    for (std::size_t i = maps_input; i < in.size(); i += 4) {
      maps.push_back({scale(in[i], 0.3), in[i + 1], scale(in[i + 2], 0.3), in[i + 3]});
    }
    // Rates near those of the layers, a small part of 1 / d: larger ones diverge.
    const Tensor eta = scale(sigmoid(in[3]), 0.2 / static_cast<double>(in[0].dim(3)));
    const FastWeights all = fast_weights({in[0], in[1], in[2], eta, in[4], in[5], in[6]}, maps, options);
    Tensors outputs = {all.z};
    for (const FastMap& map : all.maps) outputs.insert(outputs.end(), {map.W, map.b, map.W_sum, map.b_sum});
    return outputs;
  };
  return result;
}

const OpRegistration registration(
    {.name = "fast_weights",
     .cases = {
         fast_weights_case("linear", {.B = 2, .T = 9, .H = 2, .d = 4, .hidden = 0, .mini_batch = 3, .first = 0}),
         fast_weights_case("linear, begun", {.B = 1, .T = 8, .H = 2, .d = 5, .hidden = 0, .mini_batch = 4, .first = 3}),
         fast_weights_case("linear, one token",
                           {.B = 2, .T = 1, .H = 1, .d = 3, .hidden = 0, .mini_batch = 4, .first = 2}),
         fast_weights_case("linear, mini-batches of several pieces",
                           {.B = 1, .T = 300, .H = 1, .d = 3, .hidden = 0, .mini_batch = 70, .first = 10}),
         fast_weights_case("linear, online",
                           {.B = 1, .T = 5, .H = 1, .d = 4, .hidden = 0, .mini_batch = 1, .first = 0}),
         fast_weights_case("mlp", {.B = 1, .T = 6, .H = 2, .d = 3, .hidden = 7, .mini_batch = 3, .first = 0}),
         fast_weights_case("mlp, begun", {.B = 2, .T = 5, .H = 1, .d = 4, .hidden = 6, .mini_batch = 4, .first = 2}),
         fast_weights_case("mlp, one token",
                           {.B = 1, .T = 1, .H = 2, .d = 4, .hidden = 8, .mini_batch = 2, .first = 1}),
         fast_weights_case("no tokens", {.B = 2, .T = 0, .H = 1, .d = 4, .hidden = 0, .mini_batch = 2, .first = 1})}});

}  // namespace

}  // namespace zoo::ops
