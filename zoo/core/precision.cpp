#include "zoo/core/precision.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "zoo/core/device.h"
#include "zoo/core/error.h"

namespace zoo {

namespace {

struct Names {
  Precision precision;
  std::string_view name;
  std::string_view recorded;
};
constexpr std::array<Names, 3> precisions = {
    {{Precision::float32, "float32", "f32"}, {Precision::tf32, "tf32", "tf32"}, {Precision::bf16, "bf16", "bf16"}}};

const Names& names_of(Precision precision) {
  return *std::ranges::find(precisions, precision, &Names::precision);
}

Precision parse(std::string_view text, std::string_view Names::*name) {
  const auto at = std::ranges::find(precisions, text, name);
  if (at != precisions.end()) return at->precision;
  std::array<std::string, precisions.size()> known;
  std::ranges::transform(precisions, known.begin(), [name](const Names& each) { return std::string(each.*name); });
  throw UsageError(unknown_name_message("precision", text, known));
}

thread_local Precision of_products = Precision::float32;

}  // namespace

std::string_view precision_name(Precision precision) {
  return names_of(precision).name;
}

Precision parse_precision(std::string_view text) {
  return parse(text, &Names::name);
}

Precision read_precision(std::string_view option, std::string_view text) {
  try {
    const Precision precision = parse_precision(text);
    require_precision(precision);
    return precision;
  } catch (const UsageError& error) {
    throw UsageError("{}: {}", option, error.what());
  }
}

std::string_view recorded_precision(Precision precision) {
  return names_of(precision).recorded;
}

Precision parse_recorded_precision(std::string_view text) {
  return parse(text, &Names::recorded);
}

void require_precision(Precision precision) {
  if (precision == Precision::float32 || current_device() == Device::gpu) return;
  throw UsageError(
      "the precision {} is the GPU's: its tensor cores round operands so, and the device cpu computes in float32 "
      "alone; give --device gpu, or --precision float32",
      precision_name(precision));
}

Precision product_precision() {
  return of_products;
}

WithPrecision::WithPrecision(Precision precision) : outer_(of_products) {
  require_precision(precision);
  of_products = precision;
}

WithPrecision::~WithPrecision() {
  of_products = outer_;
}

}  // namespace zoo
