#include "zoo/check/subject.h"

#include <cmath>
#include <cstring>

#include "zoo/core/error.h"

namespace zoo::check {

namespace {

void write(Tensor& tensor, std::int64_t index, double value) {
  const auto rounded = static_cast<float>(value);
  if (tensor.dtype() == DType::f64) {
    tensor.data<double>()[index] = rounded;
  } else {
    tensor.data<float>()[index] = rounded;
  }
}

bool is_role(Initializer::Kind kind) {
  return kind == Initializer::Kind::linear_weight || kind == Initializer::Kind::output_projection ||
         kind == Initializer::Kind::embedding;
}

std::byte* bytes_at(const Tensor& tensor, std::size_t offset) {
  return static_cast<std::byte*>(tensor.raw()) + offset;
}

}  // namespace

Tensor draw_normal(RandomKey key, const Shape& shape, DType dtype) {
  Tensor result = Tensor::empty(shape, dtype);
  RandomStream random(key);
  for (std::int64_t i = 0; i < result.size(); ++i) write(result, i, random.normal());
  return result;
}

Tensor Trial::input(std::string_view purpose, std::int64_t batch, std::int64_t length, DType dtype) const {
  return draw_normal(key(purpose), {batch, length, d_model()}, dtype);
}

Subject::Subject(const Trial& trial, const SubjectSettings& settings) {
  const Options options(trial.entry->options, trial.layer_case->options, "layer " + trial.entry->name);
  Builder builder(trial.d_model(), options, parameters_);
  builder.layer_index = 1;
  builder.n_layers = 2;
  builder.max_length = settings.max_length;
  layer_ = trial.entry->make(builder);
  if (layer_ == nullptr) throw Error("the entry's make returned no layer");

  const double unit = 1 / std::sqrt(static_cast<double>(trial.d_model()));
  const Initialization roles = settings.lively ? Initialization{unit, unit, unit} : Initialization{};
  const std::uint64_t seed = trial.seed + settings.draw;
  slab_ = initialize(parameters_, seed, roles, settings.dtype);
  std::int64_t at = 0;
  for (const Parameter& parameter : parameters_) {
    RandomStream random(RandomKey::of(seed, "check/lively/" + parameter.spec().name));
    const double shift = settings.lively && !is_role(parameter.spec().initializer.kind()) ? 0.1 : 0;
    const std::int64_t end = at + parameter.spec().shape.size();
    for (; at < end; ++at) {
      const double drawn = settings.dtype == DType::f64 ? slab_.data<double>()[at] : slab_.data<float>()[at];
      write(slab_, at, static_cast<float>(drawn) + shift * random.normal());
    }
  }
}

Tensors Subject::variables() const {
  Tensors result;
  for (const Parameter& parameter : parameters_) result.push_back(parameter.value());
  return result;
}

std::int64_t Subject::offset(std::size_t index) const {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < index; ++i) offset += parameters_[i].spec().shape.size();
  return offset;
}

Tensor positions(const Tensor& x, std::int64_t begin, std::int64_t end) {
  Tensor result = Tensor::empty(x.shape().with(1, end - begin), x.dtype());
  const std::size_t position = x.bytes() / static_cast<std::size_t>(x.dim(0) * x.dim(1));
  const std::size_t count = position * static_cast<std::size_t>(end - begin);
  for (std::int64_t b = 0; b < x.dim(0); ++b) {
    std::memcpy(bytes_at(result, count * static_cast<std::size_t>(b)),
                bytes_at(x, position * static_cast<std::size_t>(b * x.dim(1) + begin)), count);
  }
  return result;
}

Tensor join_positions(std::span<const Tensor> chunks) {
  std::int64_t length = 0;
  for (const Tensor& chunk : chunks) length += chunk.dim(1);
  Tensor result = Tensor::empty(chunks[0].shape().with(1, length), chunks[0].dtype());
  const std::int64_t batch = result.dim(0);
  std::size_t at = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    for (const Tensor& chunk : chunks) {
      const std::size_t count = chunk.bytes() / static_cast<std::size_t>(batch);
      std::memcpy(bytes_at(result, at), bytes_at(chunk, count * static_cast<std::size_t>(b)), count);
      at += count;
    }
  }
  return result;
}

Tensor take(const Tensor& x, std::span<const std::int32_t> indices) {
  Tensor result = Tensor::empty(x.shape().with(0, static_cast<std::int64_t>(indices.size())), x.dtype());
  const std::size_t row = x.bytes() / static_cast<std::size_t>(x.dim(0));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    std::memcpy(bytes_at(result, row * i), bytes_at(x, row * static_cast<std::size_t>(indices[i])), row);
  }
  return result;
}

}  // namespace zoo::check
