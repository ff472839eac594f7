#include "zoo/cpu/attention.h"

#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "zoo/core/error.h"
#include "zoo/core/flops.h"
#include "zoo/gpu/attention.h"
#include "zoo/gpu/traffic_model.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/families.h"
#include "zoo/ops/op_cases.h"

namespace zoo::ops {

namespace {

// 0 where query t sees key s, -infinity elsewhere: [Tq,Tk].
Tensor visibility_mask(const cpu::AttentionSizes& sizes, DType dtype) {
  Tensor mask = Tensor::empty({sizes.queries, sizes.keys}, DType::f64);
  double* element = mask.data<double>();
  for (std::int64_t t = 0; t < sizes.queries; ++t) {
    const auto [begin, end] = sizes.visible(sizes.first_query + t);
    for (std::int64_t s = 0; s < sizes.keys; ++s) {
      *element++ = begin <= s && s < end ? 0 : -std::numeric_limits<double>::infinity();
    }
  }
  return mask.to(dtype);
}

// 0 or 1/(1-p) for each weight: [B,H,Tq,Tk].
Tensor dropout_mask(const cpu::AttentionSizes& sizes, DType dtype) {
  Tensor mask = Tensor::empty({sizes.batch, sizes.heads, sizes.queries, sizes.keys}, dtype);
  if (dtype == DType::f32) {
    cpu::attention_dropout(sizes, mask.data<float>());
  } else {
    cpu::attention_dropout(sizes, mask.data<double>());
  }
  return mask;
}

template <typename At>
cpu::AttentionInputs<typename At::Real> pointers(const At& at, std::span<const Tensor> inputs) {
  return {at(inputs[0]),
          at(inputs[1]),
          at(inputs[2]),
          at.if_defined(inputs[3]),
          at.template of<std::int32_t>(inputs[4]),
          at.template of<std::int32_t>(inputs[5])};
}

// Inputs: q, k, v, key_bias or undefined, and for some rows only their indices and offsets. Outputs: y and, for the
// backward kernel, the log-sum-exp of each row's scores, [B,Tq,H] or [R,H].
class Attention final : public FusedOp {
 public:
  explicit Attention(const cpu::AttentionSizes& sizes) : sizes_(sizes) {}

  std::string_view name() const override { return "attention"; }
  // Weights are exp of scores less their log-sum, whose error would be that of all weights of a row.
  Keep keeps_output(std::size_t index) const override { return index == 1 ? Keep::exact : Keep::activation; }

  Tensors forward(std::span<const Tensor> inputs) override {
    const Tensor& q = inputs[0];
    count_flops(2.0 * visible_pairs(inputs) * static_cast<double>(sizes_.d + sizes_.dv));
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::attention_forward_traffic(sizes_); });
    return dispatch(q.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        return forward_on_gpu(at, inputs);
      } else {
        Tensor y = Tensor::empty(q.shape().with(-1, sizes_.dv), q.dtype());
        Tensor log_sum = Tensor::empty(q.shape().remove(-1), q.dtype());
        const cpu::AttentionOutputs<typename decltype(at)::Real> outputs{at(y), at(log_sum)};
        if (sizes_.queries == 1 && sizes_.dropout == 0) {
          cpu::attention_one_query(sizes_, pointers(at, inputs), outputs);
        } else {
          cpu::attention_forward(sizes_, pointers(at, inputs), outputs);
        }
        return Tensors{y, log_sum};
      }
    });
  }

  // Nobody but this op reads the second output.
  Tensors backward(const Executed& executed) override {
    count_flops(4.0 * visible_pairs(executed.inputs) * static_cast<double>(sizes_.d + sizes_.dv));
    if constexpr (gpu_built) gpu::model_shared_traffic([&] { return gpu::attention_backward_traffic(sizes_); });
    Tensors gradients(executed.inputs.size());
    for (std::size_t i = 0; i < 4; ++i) {
      const Tensor& input = executed.inputs[i];
      if (input.defined()) gradients[i] = Tensor::empty(input.shape(), input.dtype());
    }
    const Tensor dy = executed.output_grad(0);
    dispatch(dy.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        backward_on_gpu(at, executed, dy, gradients);
      } else {
        cpu::attention_backward(sizes_, pointers(at, executed.inputs),
                                {at(executed.outputs[0]), at(executed.outputs[1])}, at(dy), into(at, gradients));
      }
    });
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!executed.needs(i)) gradients[i] = {};
    }
    return gradients;
  }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor &k = inputs[1], &v = inputs[2], &key_bias = inputs[3], &indices = inputs[4];
    const std::int64_t B = sizes_.batch, Tq = sizes_.queries, Tk = sizes_.keys;
    const std::int64_t Hkv = sizes_.kv_heads, G = sizes_.heads / Hkv;
    Tensor q = inputs[0];
    if (indices.defined()) q = reshape(scatter_add_rows(q, indices, B * Tq), {B, Tq, sizes_.heads, sizes_.d});

    q = reshape(permute(reshape(q, {B, Tq, Hkv, G, sizes_.d}), {0, 2, 3, 1, 4}), {B, Hkv, G * Tq, sizes_.d});
    Tensor scores = scale(matmul(q, permute(k, {0, 2, 1, 3}), false, true), sizes_.scale);
    if (key_bias.defined()) scores = scores + reshape(permute(key_bias, {0, 2, 1}), {B, Hkv, 1, Tk});
    scores = reshape(scores, {B, Hkv, G, Tq, Tk}) + visibility_mask(sizes_, q.dtype());

    // The softmax does not depend on what is subtracted.
    const Tensor largest = max(scores, -1, true).detach();
    const Tensor exponentials = exp(scores - largest);
    const Tensor total = sum(exponentials, -1, true);
    Tensor weights = exponentials / total;
    if (sizes_.dropout > 0) weights = weights * reshape(dropout_mask(sizes_, q.dtype()), {B, Hkv, G, Tq, Tk});

    Tensor y = matmul(reshape(weights, {B, Hkv, G * Tq, Tk}), permute(v, {0, 2, 1, 3}));
    y = reshape(permute(reshape(y, {B, Hkv, G, Tq, sizes_.dv}), {0, 3, 1, 2, 4}), {B, Tq, sizes_.heads, sizes_.dv});
    Tensor log_sum = permute(reshape(log(total) + largest, {B, sizes_.heads, Tq}), {0, 2, 1});
    if (indices.defined()) {
      y = gather_rows(reshape(y, {B * Tq, sizes_.heads, sizes_.dv}), indices);
      log_sum = gather_rows(reshape(log_sum, {B * Tq, sizes_.heads}), indices);
    }
    return {y, log_sum};
  }

 private:
  template <typename At>
  static cpu::AttentionGradients<typename At::Real> into(const At& at, Tensors& gradients) {
    return {at(gradients[0]), at(gradients[1]), at(gradients[2]), at.if_defined(gradients[3])};
  }

  // The GPU's kernels compute all queries: those of rows that are not asked for are zeros, and what comes of them is
  // left out.
  bool of_rows(std::span<const Tensor> inputs) const { return inputs[4].defined(); }
  Tensor whole(const Tensor& rows, std::span<const Tensor> inputs) const {
    return of_rows(inputs) ? scatter_add_rows(rows, inputs[4], sizes_.batch * sizes_.queries) : rows;
  }
  Tensor rows_of(const Tensor& all, std::span<const Tensor> inputs) const {
    return of_rows(inputs) ? gather_rows(all, inputs[4]) : all;
  }
  // An array of all queries, or of their rows one after the other.
  Tensor empty_whole(std::span<const Tensor> inputs, bool values) const {
    const std::int64_t B = sizes_.batch, Tq = sizes_.queries, H = sizes_.heads;
    const Shape shape = of_rows(inputs) ? Shape{B * Tq, H} : Shape{B, Tq, H};
    return Tensor::empty(values ? shape.insert(shape.rank(), sizes_.dv) : shape);
  }
  template <typename At>
  static cpu::AttentionInputs<float> whole_pointers(const At& at, const Tensor& q, std::span<const Tensor> inputs) {
    return {at(q), at(inputs[1]), at(inputs[2]), at.if_defined(inputs[3]), nullptr, nullptr};
  }

  template <typename At>
  Tensors forward_on_gpu(const At& at, std::span<const Tensor> inputs) {
    const Tensor q = whole(inputs[0], inputs);
    Tensor y = empty_whole(inputs, true);
    Tensor log_sum = empty_whole(inputs, false);
    gpu::attention_forward(sizes_, whole_pointers(at, q, inputs), {at(y), at(log_sum)}, at.precision(), at.stream());
    if (of_rows(inputs)) log_sums_of_all_ = log_sum;
    return {rows_of(y, inputs), rows_of(log_sum, inputs)};
  }

  template <typename At>
  void backward_on_gpu(const At& at, const Executed& executed, const Tensor& dy, Tensors& gradients) {
    const std::span<const Tensor> inputs = executed.inputs;
    const Tensor q = whole(inputs[0], inputs), y = whole(executed.outputs[0], inputs), grad = whole(dy, inputs);
    const Tensor& log_sum = of_rows(inputs) ? log_sums_of_all_ : executed.outputs[1];
    Tensor delta = empty_whole(inputs, false);
    gradients[0] = Tensor::empty(q.shape());
    gpu::attention_backward(sizes_, whole_pointers(at, q, inputs), {at(y), at(log_sum)}, at(grad), into(at, gradients),
                            at(delta), at.precision(), at.stream());
    gradients[0] = rows_of(gradients[0], inputs);
  }

  // Pairs of a query and a key that it sees, over all sequences and heads.
  double visible_pairs(std::span<const Tensor> inputs) const {
    std::int64_t pairs = 0;
    if (inputs[4].defined()) {
      for (const std::int32_t row : inputs[4].values<std::int32_t>()) {
        pairs += sizes_.visible_count(sizes_.first_query + row % sizes_.queries);
      }
      return static_cast<double>(pairs * sizes_.heads);
    }
    for (std::int64_t t = 0; t < sizes_.queries; ++t) pairs += sizes_.visible_count(sizes_.first_query + t);
    return static_cast<double>(pairs * sizes_.batch * sizes_.heads);
  }

  cpu::AttentionSizes sizes_;
  Tensor log_sums_of_all_;  // on the GPU, where only some rows are asked for
};

void require(bool condition, const Tensor& q, const Tensor& k, const Tensor& v, std::string_view what) {
  if (condition) return;
  throw Error("attention of q {}, k {}, v {}: {}", q.shape().str(), k.shape().str(), v.shape().str(), what);
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_bias, const Rows* rows,
                 std::int64_t query_length, const AttentionOptions& options) {
  require(k.rank() == 4 && v.rank() == 4 && k.shape().with(3, 0) == v.shape().with(3, 0), q, k, v,
          "k must be [B,Tk,Hkv,d] and v [B,Tk,Hkv,dv]");
  const bool all = rows == nullptr;
  require(q.rank() == (all ? 4 : 3) && q.dim(-1) == k.dim(3), q, k, v,
          all ? "q must be [B,Tq,H,d] with k's d" : "q must be [R,H,d] with k's d");
  require(all ? q.dim(0) == k.dim(0) : q.dim(0) == rows->count() && rows->offsets.size() == k.dim(0) + 1, q, k, v,
          all ? "q and k need one batch" : "q needs a row for each of the rows, and these an offset for each sequence");
  require(q.dtype() == k.dtype() && q.dtype() == v.dtype(), q, k, v, "all need one dtype");
  require(k.dim(2) > 0 && q.dim(-2) % k.dim(2) == 0, q, k, v, "q's heads must be a multiple of k's");
  require(!key_bias.defined() || (key_bias.shape() == k.shape().remove(3) && key_bias.dtype() == k.dtype()), q, k, v,
          "key_bias must be [B,Tk,Hkv]");
  if (options.dropout < 0 || options.dropout >= 1) {
    throw Error("attention: dropout is {}; it must lie in [0, 1)", options.dropout);
  }

  cpu::AttentionSizes sizes;
  sizes.batch = k.dim(0);
  sizes.queries = query_length;
  sizes.keys = k.dim(1);
  sizes.heads = q.dim(-2);
  sizes.kv_heads = k.dim(2);
  sizes.d = k.dim(3);
  sizes.dv = v.dim(3);
  sizes.scale = options.scale == 0 ? 1 / std::sqrt(static_cast<double>(sizes.d)) : options.scale;
  sizes.window = options.window;
  sizes.first_query = options.first_query < 0 ? sizes.keys - query_length : options.first_query;
  sizes.dropout = options.dropout;
  sizes.random = options.random;
  sizes.first_sequence = options.first_sequence;
  if (sizes.first_query < 0 || sizes.first_query + query_length > sizes.keys) {
    throw Error("attention: {} queries from position {} lie outside the {} keys; each query needs its own key",
                query_length, sizes.first_query, sizes.keys);
  }
  Shape result = q.shape().with(-1, sizes.dv);
  if (q.size() == 0) return Tensor::zeros(result, q.dtype());
  const Tensor inputs[] = {q, k, v, key_bias, all ? Tensor{} : rows->indices, all ? Tensor{} : rows->offsets};
  return zoo::apply(std::make_unique<Attention>(sizes), inputs)[0];
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_bias,
                 const AttentionOptions& options) {
  return attention(q, k, v, key_bias, nullptr, q.rank() == 4 ? q.dim(1) : 0, options);
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_bias, const Rows& rows,
                 std::int64_t query_length, const AttentionOptions& options) {
  return attention(q, k, v, key_bias, &rows, query_length, options);
}

namespace {

struct CaseSettings {
  std::int64_t window = 0;
  double dropout = 0;
  bool bias = false;
  bool rows = false;
};

// The first and the last of the Tq rows of each sequence but the second, and one between; with their offsets. Not yet
// tensors, which are not made before the device is chosen.
struct SomeRows {
  std::vector<std::int32_t> indices;
  std::vector<std::int32_t> offsets = {0};

  SomeRows(std::int64_t B, std::int64_t Tq) {
    for (std::int64_t b = 0; b < B; ++b) {
      for (const std::int64_t t : std::set<std::int64_t>{0, Tq / 3, Tq - 1}) {
        if (b != 1) indices.push_back(static_cast<std::int32_t>(b * Tq + t));
      }
      offsets.push_back(static_cast<std::int32_t>(indices.size()));
    }
  }

  Rows tensors() const {
    const auto tensor = [](const std::vector<std::int32_t>& list) {
      return Tensor::from<std::int32_t>({static_cast<std::int64_t>(list.size())}, list);
    };
    return {tensor(indices), tensor(offsets)};
  }
};

OpCase attention_case(std::string name, std::int64_t B, std::int64_t Tq, std::int64_t Tk, std::int64_t H,
                      std::int64_t Hkv, std::int64_t d, std::int64_t dv, const CaseSettings& settings) {
  const SomeRows rows(B, Tq);
  const Shape q = settings.rows ? Shape{static_cast<std::int64_t>(rows.indices.size()), H, d} : Shape{B, Tq, H, d};
  OpCase result{.name = std::move(name), .inputs = {{.shape = q}, {.shape = {B, Tk, Hkv, d}}}, .call = {}};
  result.inputs.push_back({.shape = {B, Tk, Hkv, dv}});
  if (settings.bias) result.inputs.push_back({.shape = {B, Tk, Hkv}});
  AttentionOptions options;
  options.scale = 0;
  options.window = settings.window;
  options.dropout = settings.dropout;
  options.random = {17};
  options.first_sequence = 5;
  result.call = [options, rows, Tq, some = settings.rows](std::span<const Tensor> inputs) {
    const Tensor bias = inputs.size() == 4 ? inputs[3] : Tensor{};
    return Tensors{some ? attention(inputs[0], inputs[1], inputs[2], bias, rows.tensors(), Tq, options)
                        : attention(inputs[0], inputs[1], inputs[2], bias, options)};
  };
  return result;
}

const OpRegistration registration(
    {.name = "attention",
     .cases = {attention_case("square", 2, 5, 5, 2, 2, 3, 2, {}),
               attention_case("more than a tile, with a bias", 1, 70, 70, 2, 1, 5, 9, {.bias = true}),
               attention_case("a window", 2, 75, 75, 1, 1, 4, 4, {.window = 9, .bias = true}),
               attention_case("a window longer than a tile", 1, 150, 150, 1, 1, 3, 3, {.window = 70}),
               attention_case("grouped heads", 2, 7, 7, 6, 2, 8, 8, {}),
               attention_case("the last queries of a longer sequence", 2, 3, 68, 2, 1, 4, 5, {.bias = true}),
               attention_case("one query", 3, 1, 17, 2, 2, 16, 16, {.window = 4}),
               attention_case("one query of more than a block of keys", 1, 1, 600, 4, 2, 5, 19, {.bias = true}),
               attention_case("one query a row", 3, 1, 9, 2, 1, 4, 6, {.bias = true, .rows = true}),
               attention_case("dropout", 2, 20, 23, 2, 1, 4, 4, {.window = 11, .dropout = 0.3}),
               attention_case("some rows", 3, 66, 70, 2, 1, 4, 6, {.dropout = 0.2, .bias = true, .rows = true}),
               attention_case("no sequences", 0, 4, 4, 2, 1, 3, 3, {}),
               attention_case("no queries", 2, 0, 4, 2, 1, 3, 3, {})}});

}  // namespace

}  // namespace zoo::ops
