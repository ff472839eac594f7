#pragma once

#include <vector>

#include "tape.h"

namespace zoo::gpu {

using Row = std::vector<Number>;

inline Row operator*(const Row& x, const std::vector<Row>& W) {
  Row result(W[0].size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t o = 0; o < result.size(); ++o) result[o] += x[i] * W[i][o];
  }
  return result;
}

/// With s = sigmoid(2u): x s, and its derivative.
struct Gelu {
  Number value, slope;

  explicit Gelu(const Number& x) {
    const Number c = 1.5957691216057307;
    const Number s = 1 / (1 + exp(0 - c * (x + 0.044715 * (x * x * x))));
    value = x * s;
    slope = s + x * s * (1 - s) * c * (1 + 3 * 0.044715 * x * x);
  }
};

/// LayerNorm without weights: x^ and 1 / sigma.
struct Normal {
  Row x;
  Number inverse;

  Normal(const Row& z, double epsilon) : x(z) {
    const double count = static_cast<double>(z.size());
    Number mean, squares;
    for (const Number& each : z) mean += each / count;
    for (Number& each : x) {
      each = each - mean;
      squares += each * each / count;
    }
    inverse = 1 / sqrt(squares + epsilon);
    for (Number& each : x) each = each * inverse;
  }
};

/// One head of one sequence, as zoo::ops::fast_weights defines it, without the dual form: a token at a time.
class Model {
 public:
  struct Map {
    std::vector<Row> W, W_sum;
    Row b, b_sum;
  };

  std::vector<Map> maps;
  Row norm_weight, norm_bias;
  double epsilon = 0;

  /// Adds eta times the gradients of the loss for k and v at W, which the mini-batch started from.
  void learn(const Row& k, const Row& v, const Number& eta) {
    std::vector<Row> x = {k}, slopes;
    Row z;
    for (std::size_t l = 0; l < maps.size(); ++l) {
      z = x.back() * maps[l].W;
      for (std::size_t o = 0; o < z.size(); ++o) z[o] += maps[l].b[o];
      if (l + 1 == maps.size()) break;
      Row values, slope;
      for (const Number& each : z) {
        const Gelu activation(each);
        values.push_back(activation.value);
        slope.push_back(activation.slope);
      }
      x.push_back(values);
      slopes.push_back(slope);
    }
    const Normal normal(z, epsilon);
    const double count = static_cast<double>(z.size());
    Row g(z.size());
    Number mean, along;
    for (std::size_t i = 0; i < g.size(); ++i) {
      g[i] = (norm_weight[i] * normal.x[i] + norm_bias[i] - (v[i] - k[i])) * norm_weight[i];
      mean += g[i] / count;
      along += g[i] * normal.x[i] / count;
    }
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = (g[i] - mean - normal.x[i] * along) * normal.inverse;
    for (std::size_t l = maps.size(); l-- > 0;) {
      Row below(x[l].size());
      for (std::size_t i = 0; i < x[l].size(); ++i) {
        for (std::size_t o = 0; o < g.size(); ++o) {
          if (l > 0) below[i] += g[o] * maps[l].W[i][o];
          maps[l].W_sum[i][o] += eta * x[l][i] * g[o];
        }
      }
      for (std::size_t o = 0; o < g.size(); ++o) maps[l].b_sum[o] += eta * g[o];
      if (l == 0) break;
      for (std::size_t i = 0; i < below.size(); ++i) below[i] = below[i] * slopes[l - 1][i];
      g = below;
    }
  }

  Row read(const Row& q, const Number& scale) const {
    Row y = q;
    for (std::size_t l = 0; l < maps.size(); ++l) {
      if (l > 0) {
        for (Number& each : y) each = Gelu(each).value;
      }
      const Row start = y * maps[l].W, learned = y * maps[l].W_sum;
      y.resize(start.size());
      for (std::size_t o = 0; o < y.size(); ++o)
        y[o] = start[o] + maps[l].b[o] - scale * (learned[o] + maps[l].b_sum[o]);
    }
    const Normal normal(y, epsilon);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = q[i] + norm_weight[i] * normal.x[i] + norm_bias[i];
    return y;
  }

  void start_again(const Number& scale) {
    const auto step = [&](Number& weight, Number& sum) {
      weight = weight - scale * sum;
      sum = 0;
    };
    for (Map& map : maps) {
      for (std::size_t o = 0; o < map.b.size(); ++o) {
        for (std::size_t i = 0; i < map.W.size(); ++i) step(map.W[i][o], map.W_sum[i][o]);
        step(map.b[o], map.b_sum[o]);
      }
    }
  }
};

}  // namespace zoo::gpu
