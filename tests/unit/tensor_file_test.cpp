#include "zoo/io/tensor_file.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/cli/command.h"
#include "zoo/core/error.h"

namespace zoo {
namespace {

using test::TemporaryDirectory;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(TensorFile, TensorsComeBackAsTheyWere) {
  const TemporaryDirectory folder;
  const NamedTensor tensors[] = {{"float", Tensor::from<float>({2, 2}, {1.5f, -0.f, 1e-40f, 3e38f})},
                                 {"double", Tensor::from<double>({1, 2}, {0.1, -1e300})},
                                 {"integer", Tensor::from<std::int32_t>({3}, {1, -100, INT32_MAX})},
                                 {"scalar", Tensor::scalar(7)},
                                 {"none", Tensor::empty({0, 5})}};
  write_tensors(folder / "file", tensors, {{"step", "3"}});
  const SafetensorsFile file(folder / "file");
  EXPECT_EQ(file.metadata().at("step"), "3");
  EXPECT_EQ(read_tensors(file).size(), std::size(tensors));
  for (const auto& [name, tensor] : tensors) {
    const Tensor back = read_tensor(file, name);
    EXPECT_EQ(back.shape(), tensor.shape()) << name;
    ASSERT_EQ(back.dtype(), tensor.dtype()) << name;
    EXPECT_EQ(std::memcmp(back.raw(), tensor.raw(), tensor.bytes()), 0) << name;
  }
  EXPECT_THROW(write_tensors(folder / "file", std::vector<NamedTensor>{{"undefined", Tensor()}}), Error);
}

template <typename T>
void write_one(const std::string& path, const std::string& dtype, const std::vector<T>& values) {
  write_safetensors(path,
                    {{{"w", dtype, {static_cast<std::int64_t>(values.size())}}, std::as_bytes(std::span(values))}});
}

// The value of a 16-bit float by its definition, with `fraction_bits` of fraction.
float defined_value(std::uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                                   : std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
  if (exponent == (1 << exponent_bits) - 1) {
    magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

TEST(TensorFile, EveryHalfBecomesTheFloatOfItsValue) {
  const TemporaryDirectory folder;
  std::vector<std::uint16_t> all(65536);
  for (std::size_t bits = 0; bits < all.size(); ++bits) all[bits] = static_cast<std::uint16_t>(bits);
  for (const auto& [dtype, fraction_bits] : {std::pair("F16", 10), std::pair("BF16", 7)}) {
    write_one(folder / "file", dtype, all);
    const Tensor tensor = read_tensor(SafetensorsFile(folder / "file"), "w");
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float found = tensor.values<float>()[i], expected = defined_value(all[i], fraction_bits);
      // A denormal bfloat16 is a denormal float, and those are zero in every thread of zoo.
      if (std::fpclassify(expected) == FP_SUBNORMAL || (expected == 0 && (all[i] & 0x7FFF) != 0)) continue;
      ASSERT_TRUE(std::isnan(expected) ? std::isnan(found)
                                       : std::bit_cast<std::uint32_t>(found) == std::bit_cast<std::uint32_t>(expected))
          << dtype << " " << i << ": " << found << ", not " << expected;
    }
  }
}

TEST(TensorFile, WideIntegersMustFit) {
  const TemporaryDirectory folder;
  write_one(folder / "file", "I64", std::vector<std::int64_t>{1, INT32_MIN, INT32_MAX});
  EXPECT_THAT(read_tensor(SafetensorsFile(folder / "file"), "w").values<std::int32_t>(),
              ElementsAre(1, INT32_MIN, INT32_MAX));
  write_one(folder / "file", "I64", std::vector<std::int64_t>{1, std::int64_t{INT32_MAX} + 1});
  EXPECT_THROW(read_tensor(SafetensorsFile(folder / "file"), "w"), UsageError);
}

TEST(TensorFile, WhatATensorCannotBeIsRefused) {
  const TemporaryDirectory folder;
  write_one(folder / "file", "U8", std::vector<std::uint8_t>{1});
  EXPECT_THROW(read_tensor(SafetensorsFile(folder / "file"), "w"), UsageError);
  write_safetensors(folder / "file", {{{"w", "F32", {1, 1, 1, 1, 1, 1, 0}}, {}}});
  EXPECT_THROW(read_tensor(SafetensorsFile(folder / "file"), "w"), UsageError);
}

}  // namespace
}  // namespace zoo
