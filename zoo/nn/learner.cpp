#include "zoo/nn/learner.h"

#include <functional>

#include "zoo/core/error.h"
#include "zoo/core/tape.h"
#include "zoo/ops/ops.h"

namespace zoo {

namespace {

// What holds for each head, for each of a map's groups: [B,H,...] as [B,H*groups,...].
Tensor by_group(const Tensor& x, std::int64_t groups) {
  if (groups == 1) return x;
  const Shape repeated = x.shape().insert(2, groups);
  const Shape joined = x.shape().with(1, x.dim(1) * groups);
  return ops::reshape(ops::broadcast_to(ops::reshape(x, repeated.with(2, 1)), repeated), joined);
}

// sum + more, where either may be undefined.
Tensor added(const Tensor& sum, const Tensor& more) {
  return sum.defined() ? sum + more : more;
}

Tensor scaled(const Tensor& x, const Tensor& scale) {
  return scale.defined() ? scale * x : x;
}

Tensor last_row(const Tensor& x) {
  return ops::slice(x, 2, x.dim(2) - 1, x.dim(2));
}

}  // namespace

Learner::Learner(const InnerModel& model, InnerOptimizer optimizer, Settings settings)
    : model_(&model), maps_(model.maps()), optimizer_(optimizer), settings_(std::move(settings)) {
  if (settings_.dual && !optimizer.linear()) {
    throw Error("the inner optimizer's updates are not linear in gradients: there is no dual form");
  }
}

// f(x): of the inputs of earlier tokens that the model looks at, nothing is predicted.
Tensor Learner::prediction(const Tensor& x, const InnerModel::Apply& apply) const {
  const Tensor g = (*model_)(x, apply);
  if (!settings_.norm_weight.defined()) return g;
  const std::int64_t H = x.dim(1), d = x.dim(3);
  return ops::slice(x, 2, model_->memory(), x.dim(2)) +
         ops::layer_norm(g, {}, {}, 1e-6) * ops::reshape(settings_.norm_weight, {H, 1, d}) +
         ops::reshape(settings_.norm_bias, {H, 1, d});
}

// A map's weights are the same for all tokens of a mini-batch, so that its gradient for token j is x_j^T delta_j, with
// delta the gradients by its results: one pass gives all tokens' gradients.
void Learner::take_gradients(Lesson& lesson, const Tensor& k, const Tensor& v) const {
  const bool create_graph = taping();
  const WithTape tape;
  Tensors results(maps_.size());
  const auto apply = [&](std::size_t l, const Tensor& x) {
    const Map& map = lesson.before[l];
    Tensor z = ops::matmul(x, map.W);
    if (map.b.defined()) z = z + map.b;
    if (!z.requires_grad()) z = z.variable();
    lesson.x[l] = x;
    return results[l] = z;
  };
  const Tensor predicted = prediction(k, std::cref(apply));  // by reference: a copy would lie on the heap
  const Tensor loss = ops::scale(ops::sum(ops::square(predicted - v)), settings_.loss_scale);
  lesson.delta = grad(loss, results, {.create_graph = create_graph});
}

Learner::Lesson Learner::train(Store& store, const Tensor& k, const Tensor& v, const Tensor& eta,
                               std::int64_t step) const {
  Lesson lesson{.x = Tensors(maps_.size()),
                .delta = {},
                .W_sums = Tensors(maps_.size()),
                .b_sums = Tensors(maps_.size()),
                .eta = eta,
                .before = store};
  take_gradients(lesson, k, v);
  if (settings_.dual) {
    add_dual(lesson, store);
  } else {
    add_primal(lesson, store, step);
  }
  return lesson;
}

void Learner::add_primal(Lesson& lesson, Store& store, std::int64_t step) const {
  for (std::size_t l = 0; l < maps_.size(); ++l) {
    Map& map = store[l];
    const Tensor &x = lesson.x[l], &delta = lesson.delta[l];
    const std::int64_t B = x.dim(0), G = x.dim(1), n = x.dim(2);
    const Tensor eta = by_group(lesson.eta, maps_[l].groups);
    const auto sums = [&](const Tensor& gradients, Tensors& statistics, Tensor& sum) {
      const std::int64_t in = gradients.dim(3), out = gradients.dim(4);
      Tensors flat;
      for (const Tensor& each : statistics) flat.push_back(ops::reshape(each, {B, G, 1, in * out}));
      const Tensor updates = optimizer_.updates(ops::reshape(gradients, {B, G, n, in * out}), flat, step);
      for (std::size_t i = 0; i < flat.size(); ++i) statistics[i] = ops::reshape(flat[i], {B, G, in, out});
      Tensor result = ops::reshape(ops::cumsum(eta * updates, 2), {B, G, n, in, out});
      if (sum.defined()) result = result + ops::reshape(sum, {B, G, 1, in, out});
      sum = ops::reshape(last_row(result), {B, G, in, out});
      return result;
    };
    const Tensor row = ops::reshape(delta, {B, G, n, 1, delta.dim(3)});
    lesson.W_sums[l] = sums(ops::reshape(x, {B, G, n, x.dim(3), 1}) * row, map.W_statistics, map.W_sum);
    if (map.b.defined()) lesson.b_sums[l] = sums(row, map.b_statistics, map.b_sum);
  }
}

Tensor Learner::apply_primal(const Lesson& lesson, std::size_t l, const Tensor& x, const Tensor& scale) const {
  const Map& map = lesson.before[l];
  const std::int64_t B = x.dim(0), G = x.dim(1), n = x.dim(2), in = x.dim(3), out = map.W.dim(3);
  const Tensor factor = scale.defined() ? ops::reshape(scale, {n, 1, 1}) : scale;
  const Tensor W = ops::reshape(map.W, {B, G, 1, in, out}) - scaled(lesson.W_sums[l], factor);
  Tensor z = ops::matmul(ops::reshape(x, {B, G, n, 1, in}), W);
  if (map.b.defined()) z = z + ops::reshape(map.b, {B, G, 1, 1, out}) - scaled(lesson.b_sums[l], factor);
  return ops::reshape(z, {B, G, n, out});
}

// With U_j = sum_{s<=j} decay^(j-s) G_s + decay^(j+1) M and all of it linear, the sums over j are sums over s, with
// coefficients that do not depend on the weights.
void Learner::add_dual(const Lesson& lesson, Store& store) const {
  const double decay = optimizer_.decay();
  for (std::size_t l = 0; l < maps_.size(); ++l) {
    Map& map = store[l];
    const Tensor &x = lesson.x[l], &delta = lesson.delta[l];
    const std::int64_t n = x.dim(2);
    const DType dtype = x.dtype();
    const Tensor eta = by_group(lesson.eta, maps_[l].groups);
    const Tensor powers = decay_powers(n, decay, dtype);
    // eta_j decay^(j-s) summed over j, for each token s: [B,G,n,1].
    const Tensor whole = ops::transpose(ops::sum(eta * decay_matrix(n, decay, dtype), 2, true));
    const Tensor weighted = whole * delta;
    map.W_sum = added(map.W_sum, ops::matmul(x, weighted, true, false));
    if (map.b.defined()) map.b_sum = added(map.b_sum, ops::sum(weighted, 2, true));
    if (map.W_statistics.empty()) continue;
    const Tensor carried = ops::sum(eta * powers, 2, true);
    const Tensor last = ops::transpose(ops::slice(decay_matrix(n, decay, dtype), 0, n - 1, n)) * delta;
    const Tensor kept = ops::slice(powers, 0, n - 1, n);
    map.W_sum = map.W_sum + carried * map.W_statistics[0];
    map.W_statistics[0] = kept * map.W_statistics[0] + ops::matmul(x, last, true, false);
    if (!map.b.defined()) continue;
    map.b_sum = map.b_sum + carried * map.b_statistics[0];
    map.b_statistics[0] = kept * map.b_statistics[0] + ops::sum(last, 2, true);
  }
}

Tensor Learner::apply_dual(const Lesson& lesson, std::size_t l, const Tensor& x, const Tensor& scale) const {
  const double decay = optimizer_.decay();
  const Map& map = lesson.before[l];
  const std::int64_t n = x.dim(2);
  const DType dtype = x.dtype();
  const Tensor eta = by_group(lesson.eta, maps_[l].groups);
  // sum_{s<=j<=i} eta_j decay^(j-s), for tokens i and s: [B,G,n,n].
  const Tensor coefficients = ops::matmul(decay_matrix(n, 1, dtype), eta * decay_matrix(n, decay, dtype));
  Tensor products = ops::matmul(x, lesson.x[l], false, true);
  if (map.b.defined()) products = products + 1.0;
  Tensor learned = ops::matmul(products * coefficients, lesson.delta[l]);
  if (map.W_sum.defined()) learned = learned + ops::matmul(x, map.W_sum);
  if (map.b_sum.defined()) learned = learned + map.b_sum;
  if (!map.W_statistics.empty()) {
    Tensor momentum = ops::matmul(x, map.W_statistics[0]);
    if (map.b.defined()) momentum = momentum + map.b_statistics[0];
    learned = learned + ops::cumsum(eta * decay_powers(n, decay, dtype), 2) * momentum;
  }
  const Tensor z = ops::matmul(x, map.W) - scaled(learned, scale);
  return map.b.defined() ? z + map.b : z;
}

Tensor Learner::predict(const Lesson& lesson, const Tensor& q, const Tensor& scale) const {
  const auto apply = [&](std::size_t l, const Tensor& x) {
    return settings_.dual ? apply_dual(lesson, l, x, scale) : apply_primal(lesson, l, x, scale);
  };
  return prediction(q, std::cref(apply));
}

void Learner::finish(Store& store, const Tensor& scale) const {
  for (Map& map : store) {
    map.W = map.W - scaled(map.W_sum, scale);
    if (map.b.defined()) map.b = map.b - scaled(map.b_sum, scale);
    map.W_sum = map.b_sum = {};
  }
}

}  // namespace zoo
