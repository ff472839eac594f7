#include <algorithm>
#include <cmath>
#include <limits>

#include "zoo/core/plugin.h"
#include "zoo/nn/linear.h"
#include "zoo/nn/sequence_state.h"
#include "zoo/ops/families.h"

namespace {

using namespace zoo;

// Queries at a time, for kernels whose weights are kept as a matrix: only the keys before each chunk's end take part,
// which saves near half of the work and the memory.
constexpr std::int64_t query_chunk = 128;

// 1 where query i, at position first + i, sees key s, else 0: [n, keys].
Tensor visible(std::int64_t n, std::int64_t keys, std::int64_t first, DType dtype) {
  Tensor mask = Tensor::zeros({n, keys}, dtype);
  for (std::int64_t i = 0; i < n; ++i) {
    if (dtype == DType::f32) {
      std::fill_n(mask.data<float>() + i * keys, first + i + 1, 1.0F);
    } else {
      std::fill_n(mask.data<double>() + i * keys, first + i + 1, 1.0);
    }
  }
  return mask;
}

// f(x; x_1..x_t) = sum_s kappa(x, x_s) y_s / sum_s kappa(x, x_s), y_s = theta_V x_s (Nadaraya 1964, Watson 1964): the
// non-parametric learner of the TTT paper (Sun et al. 2024, section 2.6). Its state is the list of training points.
class NadarayaWatson final : public Layer {
 public:
  explicit NadarayaWatson(Builder& builder)
      : heads_(builder.options().integer("heads")),
        kernel_(builder.options().text("kernel")),
        d_(head_width(builder.d_model(), heads_, "nadaraya_watson")) {
    const std::int64_t D = builder.d_model();
    theta_q_ = Linear(builder, "q_proj", D, D);
    theta_k_ = Linear(builder, "k_proj", D, D);
    theta_v_ = Linear(builder, "v_proj", D, D);
    o_proj_ = Linear(builder, "o_proj", D, D, {.weight = Initializer::output_projection()});
    if (kernel_ != "exp") {
      // h = sqrt(d) at first: the distance of two points of N(0, 1/2) coordinates.
      log_h_ = builder.parameter("log_h", {heads_}, Initializer::constant(std::log(static_cast<double>(d_)) / 2));
    }
  }

  State initial_state(std::int64_t batch) const override {
    State state;
    state.set("k", Tensor::zeros({batch, 0, heads_, d_}, theta_k_.dtype()));
    state.set("y", Tensor::zeros({batch, 0, heads_, d_}, theta_v_.dtype()));
    return state;
  }

  bool reads_rows() const override { return true; }

  Tensor forward(const Tensor& x, State& state, const Context& context) override {
    const bool matrix = kernel_ == "laplacian" || kernel_ == "epanechnikov";
    const Tensor q = split_heads(theta_q_(matrix ? x : read_rows(x, context)), heads_);
    const Tensor k = append_to_state(state, "k", split_heads(theta_k_(x), heads_));
    const Tensor y = append_to_state(state, "y", split_heads(theta_v_(x), heads_));
    const Tensor f = matrix ? read_rows(by_matrix(q, k, y), context) : by_softmax(q, k, y, x.dim(1), context);
    return o_proj_(join_heads(f));
  }

 private:
  // 1 / h^power, one a head: [H, 1].
  Tensor inverse_bandwidth(double power) const {
    return ops::reshape(ops::exp(ops::scale(log_h_, -power)), {heads_, 1});
  }

  // Kernels whose logarithm is q.k and a term of the key alone: their ratio is a softmax.
  Tensor by_softmax(const Tensor& q, const Tensor& k, const Tensor& y, std::int64_t T, const Context& context) const {
    if (kernel_ == "exp") return softmax_average(q, k, y, {}, 0, T, context);
    // -|q - k|^2 / 2h^2 = q.k / h^2 - |k|^2 / 2h^2 - |q|^2 / 2h^2, whose last term cancels from the ratio.
    const Tensor inverse_square = inverse_bandwidth(2);
    const Tensor key_bias = ops::sum(ops::square(k) * ops::scale(inverse_square, -0.5), -1);
    return softmax_average(q * inverse_square, k, y, key_bias, 1, T, context);
  }

  static Tensor softmax_average(const Tensor& q, const Tensor& k, const Tensor& y, const Tensor& key_bias, double scale,
                                std::int64_t T, const Context& context) {
    ops::AttentionOptions options;
    options.scale = scale;
    return context.rows != nullptr ? ops::attention(q, k, y, key_bias, *context.rows, T, options)
                                   : ops::attention(q, k, y, key_bias, options);
  }

  // Kernels whose values are formed as a matrix, a chunk of queries at a time: [B,T,H,d].
  Tensor by_matrix(const Tensor& q, const Tensor& k, const Tensor& y) const {
    const std::int64_t T = q.dim(1);
    const std::int64_t first = k.dim(1) - T;
    Tensors chunks;
    for (std::int64_t begin = 0; begin < T; begin += query_chunk) {
      const std::int64_t end = std::min(begin + query_chunk, T);
      const Tensor seen_k = ops::slice(k, 1, 0, first + end);
      const Tensor seen_y = ops::permute(ops::slice(y, 1, 0, first + end), {0, 2, 1, 3});  // [B,H,s,d]
      const Tensor some_q = ops::slice(q, 1, begin, end);
      const Tensor mask = visible(end - begin, first + end, first + begin, q.dtype());
      Tensor f;
      if (kernel_ == "laplacian") {
        f = ops::matmul(laplacian_weights(some_q, seen_k, mask), seen_y);
      } else {
        const Tensor own_y = ops::permute(ops::slice(y, 1, first + begin, first + end), {0, 2, 1, 3});
        f = epanechnikov(some_q, seen_k, mask, seen_y, own_y);
      }
      chunks.push_back(ops::permute(f, {0, 2, 1, 3}));
    }
    return chunks.size() == 1 ? chunks[0] : ops::concat(chunks, 1);
  }

  // exp(-|q - k|_1 / h) over its sum: [B,H,n,s].
  Tensor laplacian_weights(const Tensor& q, const Tensor& k, const Tensor& mask) const {
    const Tensor log_kernel = ops::l1_distance(q, k) * ops::reshape(-inverse_bandwidth(1), {heads_, 1, 1});
    const Tensor hidden = Tensor::full({1}, -std::numeric_limits<double>::infinity(), q.dtype());
    return ops::softmax(ops::where(mask, log_kernel, hidden));
  }

  // max(0, 1 - |q - k|^2 / h^2), averaged: [B,H,n,d]. A query with no neighbour returns its own y_t.
  Tensor epanechnikov(const Tensor& q, const Tensor& k, const Tensor& mask, const Tensor& y,
                      const Tensor& own_y) const {
    // 1 - |q - k|^2 / h^2 as a product and what belongs to the query or the key alone.
    const Tensor inverse_square = ops::reshape(inverse_bandwidth(2), {heads_, 1, 1});
    const Tensor rows = ops::permute(q, {0, 2, 1, 3});  // [B,H,n,d]
    const Tensor columns = ops::permute(k, {0, 2, 1, 3});
    const Tensor of_query = 1.0 - ops::sum(ops::square(rows), -1, true) * inverse_square;
    const Tensor of_key = ops::transpose(ops::sum(ops::square(columns), -1, true)) * inverse_square;
    const Tensor product = ops::matmul(rows * ops::scale(inverse_square, 2), columns, false, true);
    const Tensor kernel = ops::relu(product + of_query - of_key) * mask;
    const Tensor total = ops::sum(kernel, -1, true);
    const Tensor one = Tensor::full({1}, 1, q.dtype());
    const Tensor average = ops::matmul(kernel, y) / ops::where(total, total, one);
    return ops::where(total, average, own_y);
  }

  std::int64_t heads_;
  std::string kernel_;
  std::int64_t d_;
  Linear theta_q_;
  Linear theta_k_;
  Linear theta_v_;
  Linear o_proj_;
  Parameter log_h_;
};

}  // namespace

ZOO_REGISTER_LAYER(nadaraya_watson) {
  return {.name = "nadaraya_watson",
          .description = "the Nadaraya-Watson estimator: an average of past values, weighed by a kernel",
          .paper =
              "Nadaraya, On estimating regression, 1964; Watson, Smooth regression analysis, 1964; "
              "Sun et al., Learning to (learn at test time), 2024",
          .options = OptionSchema()
                         .integer("heads", 1, {1, 1024}, "heads")
                         .choice("kernel", "exp", {"exp", "gaussian", "laplacian", "epanechnikov"},
                                 "how near a query is to a point; exp gives attention")
                         .choice("positions", "none", {"none", "learned"}, "learned adds vectors at the embedding"),
          .make = make<NadarayaWatson>(),
          .wishes =
              [](const Options& options) {
                return BackboneWishes{.learned_positions = options.text("positions") == "learned"};
              },
          .test_cases = {{.d_model = 8},
                         {.d_model = 8, .options = {{"heads", 2}, {"kernel", "gaussian"}}},
                         {.d_model = 8, .options = {{"heads", 2}, {"kernel", "laplacian"}}},
                         {.d_model = 8, .options = {{"heads", 2}, {"kernel", "epanechnikov"}}},
                         {.d_model = 6, .options = {{"positions", "learned"}}}}};
}
