#include "zoo/cpu/matmul.h"

#include <omp.h>

#include <algorithm>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/core/foreign_code.h"
#include "zoo/core/parallel.h"
#include "zoo/core/pool.h"
#include "zoo/cpu/gemv.h"

namespace zoo::cpu {

namespace {

using dnnl::memory;

struct Key {
  MatmulShape shape;
  int threads;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    std::size_t hash = static_cast<std::size_t>(key.threads);
    const MatmulShape& s = key.shape;
    const std::int64_t flags = s.transpose_a | s.transpose_b << 1 | s.bias << 2 | s.accumulate << 3;
    for (const std::int64_t part : {s.batch, s.m, s.n, s.k, flags}) {
      hash = (hash ^ static_cast<std::size_t>(part)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

dnnl::engine& engine() {
  static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

memory::desc describe(std::int64_t batch, std::int64_t rows, std::int64_t columns, bool transposed) {
  const memory::dims strides =
      transposed ? memory::dims{rows * columns, 1, rows} : memory::dims{rows * columns, columns, 1};
  if (batch == 1) return {{rows, columns}, memory::data_type::f32, {strides[1], strides[2]}};
  return {{batch, rows, columns}, memory::data_type::f32, strides};
}

// `bias` is nullptr where there is none. Debian 12 has oneDNN 2.6, Ubuntu 24.04 has 3.1.
dnnl::matmul::primitive_desc describe_product(const memory::desc& a, const memory::desc& b, const memory::desc* bias,
                                              const memory::desc& c, const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias == nullptr) return {engine(), a, b, c, attributes};
  return {engine(), a, b, *bias, c, attributes};
#else
  if (bias == nullptr) return {dnnl::matmul::desc(a, b, c), attributes, engine()};
  return {dnnl::matmul::desc(a, b, *bias, c), attributes, engine()};
#endif
}

// A primitive with the memory objects it runs on, whose data pointers are swapped at each call.
class Primitive {
 public:
  explicit Primitive(const MatmulShape& s)
      : a_(describe(s.batch, s.m, s.k, s.transpose_a), engine(), nullptr),
        b_(describe(s.batch, s.k, s.n, s.transpose_b), engine(), nullptr),
        c_(describe(s.batch, s.m, s.n, false), engine(), nullptr) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum();
      attributes.set_post_ops(sum);
    }
    memory::desc bias;
    if (s.bias) {
      bias = s.batch == 1 ? memory::desc({1, s.n}, memory::data_type::f32, {s.n, 1})
                          : memory::desc({1, 1, s.n}, memory::data_type::f32, {s.n, s.n, 1});
      bias_ = memory(bias, engine(), nullptr);
    }
    const auto primitive_desc =
        describe_product(a_.get_desc(), b_.get_desc(), s.bias ? &bias : nullptr, c_.get_desc(), attributes);
    primitive_ = dnnl::matmul(primitive_desc);
    scratch_ = memory(primitive_desc.scratchpad_desc(), engine(), nullptr);
    scratch_bytes_ = primitive_desc.scratchpad_desc().get_size();
    arguments_ = {{DNNL_ARG_SRC, a_.get()},
                  {DNNL_ARG_WEIGHTS, b_.get()},
                  {DNNL_ARG_DST, c_.get()},
                  {DNNL_ARG_SCRATCHPAD, scratch_.get()}};
    if (s.bias) arguments_.push_back({DNNL_ARG_BIAS, bias_.get()});
  }

  void run(const float* a, const float* b, const float* bias, float* c) {
    a_.set_data_handle(const_cast<float*>(a));  // oneDNN has one kind of memory for what it reads and what it writes
    b_.set_data_handle(const_cast<float*>(b));
    c_.set_data_handle(c);
    if (bias != nullptr) bias_.set_data_handle(const_cast<float*>(bias));
    void* scratch = pool_allocate(scratch_bytes_);
    scratch_.set_data_handle(scratch);
    static thread_local dnnl::stream stream(engine());
    const ForeignCode onednn;
    const auto status =
        dnnl_primitive_execute(primitive_.get(), stream.get(), static_cast<int>(arguments_.size()), arguments_.data());
    pool_free(scratch, scratch_bytes_);
    if (status != dnnl_success) throw Error("oneDNN's matmul failed with status {}", static_cast<int>(status));
  }

 private:
  memory a_;
  memory b_;
  memory c_;
  memory bias_;
  memory scratch_;
  std::size_t scratch_bytes_ = 0;
  dnnl::matmul primitive_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

// Threads for a product: one below the size from which a second one gains (512 x 128 x 128), where waking it, or
// waiting for it on a busy machine, costs more than the arithmetic. Within a parallel part oneDNN makes a primitive for
// one thread.
int threads_for(const MatmulShape& shape) {
  constexpr std::int64_t worth_a_second = std::int64_t{512} * 128 * 128;
  const bool small = shape.batch * shape.m * shape.n * shape.k < worth_a_second;
  return small || omp_in_parallel() ? 1 : threads();
}

// While one lives, oneDNN sees this many threads.
class ThreadsOfProduct {
 public:
  explicit ThreadsOfProduct(int count) : changed_(count != threads() && !omp_in_parallel()) {
    if (changed_) omp_set_num_threads(count);
  }
  ~ThreadsOfProduct() {
    if (changed_) omp_set_num_threads(threads());
  }
  ThreadsOfProduct(const ThreadsOfProduct&) = delete;
  ThreadsOfProduct& operator=(const ThreadsOfProduct&) = delete;

 private:
  bool changed_;
};

Primitive& cached(const MatmulShape& shape, int count) {
  // Bounded: lengths that never repeat would fill it. Dropping all is rare and costs a few milliseconds.
  constexpr std::size_t capacity = 1024;
  static thread_local std::unordered_map<Key, Primitive, KeyHash> cache;
  const Key key{shape, count};
  auto at = cache.find(key);
  if (at == cache.end()) {
    if (cache.size() >= capacity) cache.clear();
    at = cache.try_emplace(key, shape).first;
  }
  return at->second;
}

bool empty(const MatmulShape& shape) {
  return shape.batch == 0 || shape.m == 0 || shape.n == 0;
}

template <typename T>
void fill_with_bias(const MatmulShape& shape, const T* bias, T* c) {
  for (std::int64_t row = 0; row < shape.batch * shape.m; ++row, c += shape.n) {
    if (bias != nullptr) {
      std::copy_n(bias, shape.n, c);
    } else if (!shape.accumulate) {
      std::fill_n(c, shape.n, T{0});
    }
  }
}

}  // namespace

void matmul(const MatmulShape& shape, const float* a, const float* b, const float* bias, float* c) {
  if (empty(shape)) return;
  if (shape.k == 0) return fill_with_bias(shape, bias, c);
  if (shape.batch == 1 && shape.m == 1 && shape.transpose_b && !shape.accumulate) {
    return gemv(b, a, shape.bias ? bias : nullptr, shape.n, shape.k, c);
  }
  const int count = threads_for(shape);
  const ThreadsOfProduct scope(count);
  cached(shape, count).run(a, b, bias, c);
}

void matmul(const MatmulShape& shape, const double* a, const double* b, const double* bias, double* c) {
  const auto [batch, m, n, k, transpose_a, transpose_b, has_bias, accumulate] = shape;
  fill_with_bias(shape, has_bias ? bias : nullptr, c);
  if (empty(shape) || k == 0) return;
  PoolVector<double> rows_of_b;  // B untransposed, so that the inner loop runs along its rows
  if (transpose_b) rows_of_b.resize(static_cast<std::size_t>(k * n));
  for (std::int64_t part = 0; part < batch; ++part, a += m * k, b += k * n, c += m * n) {
    const double* rows = b;
    if (transpose_b) {
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t p = 0; p < k; ++p) rows_of_b[static_cast<std::size_t>(p * n + j)] = b[j * k + p];
      }
      rows = rows_of_b.data();
    }
    parallel_for(
        m, 1 + 100000 / (n * k),
        [&, a = a, c = c, m = m, n = n, k = k, transpose_a = transpose_a](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            double* out = c + i * n;
            for (std::int64_t p = 0; p < k; ++p) {
              const double factor = transpose_a ? a[p * m + i] : a[i * k + p];
              const double* row = rows + p * n;
              for (std::int64_t j = 0; j < n; ++j) out[j] += factor * row[j];
            }
          }
        });
  }
}

}  // namespace zoo::cpu
