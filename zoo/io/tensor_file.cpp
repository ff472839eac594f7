#include "zoo/io/tensor_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "zoo/core/error.h"

namespace zoo {

namespace {

std::string_view format_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::f64:
      return "F64";
    case DType::i32:
      return "I32";
    case DType::bf16:
      break;
  }
  return "BF16";
}

float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

// IEEE 754 binary16: sign, 5 bits of exponent with bias 15, 10 of fraction.
float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16;
  const std::uint32_t exponent = (bits >> 10) & 31u;
  const std::uint32_t fraction = bits & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | (fraction << 13));
  if (exponent > 0) return std::bit_cast<float>(sign | ((exponent + 127 - 15) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

template <typename From, typename To, typename Convert>
Tensor converted(const SafetensorsFile& file, std::string_view name, const Shape& shape, const Convert& convert) {
  std::vector<From> values(static_cast<std::size_t>(shape.size()));
  file.read(name, std::as_writable_bytes(std::span(values)));
  Tensor tensor = Tensor::empty(shape, dtype_of<To>);
  std::ranges::transform(values, tensor.data<To>(), convert);
  return tensor;
}

}  // namespace

void write_tensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                   const SafetensorsMetadata& metadata) {
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) throw Error("cannot write '{}': there is no tensor '{}'", path.string(), name);
    const auto extents = tensor.shape().dims();
    entries.push_back({{name, std::string(format_name(tensor.dtype())), {extents.begin(), extents.end()}},
                       {static_cast<const std::byte*>(tensor.raw()), tensor.bytes()}});
  }
  write_safetensors(path, std::move(entries), metadata);
}

Tensor read_tensor(const SafetensorsFile& file, std::string_view name) {
  const SafetensorsInfo& info = file.info(name);
  if (info.shape.size() > static_cast<std::size_t>(Shape::max_rank)) {
    throw UsageError("tensor '{}' of '{}' has {} extents; at most {} are supported", name, file.path().string(),
                     info.shape.size(), Shape::max_rank);
  }
  const Shape shape{std::span<const std::int64_t>(info.shape)};
  for (const DType dtype : {DType::f32, DType::f64, DType::i32}) {
    if (info.dtype != format_name(dtype)) continue;
    const Tensor tensor = Tensor::empty(shape, dtype);
    file.read(name, {static_cast<std::byte*>(tensor.raw()), tensor.bytes()});
    return tensor;
  }
  if (info.dtype == "BF16") return converted<std::uint16_t, float>(file, name, shape, from_bfloat16);
  if (info.dtype == "F16") return converted<std::uint16_t, float>(file, name, shape, from_float16);
  if (info.dtype == "I64") {
    return converted<std::int64_t, std::int32_t>(file, name, shape, [&](std::int64_t value) {
      using Limits = std::numeric_limits<std::int32_t>;
      if (value < Limits::min() || value > Limits::max()) {
        throw UsageError("tensor '{}' of '{}' holds {}, which does not fit in 32 bits", name, file.path().string(),
                         value);
      }
      return static_cast<std::int32_t>(value);
    });
  }
  throw UsageError("tensor '{}' of '{}' has dtype {}; F32, F64, F16, BF16, I32 and I64 can be read", name,
                   file.path().string(), info.dtype);
}

std::vector<NamedTensor> read_tensors(const SafetensorsFile& file) {
  std::vector<NamedTensor> tensors;
  for (const SafetensorsInfo& info : file.tensors()) tensors.emplace_back(info.name, read_tensor(file, info.name));
  return tensors;
}

}  // namespace zoo
