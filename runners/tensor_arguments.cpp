#include "runners/tensor_arguments.h"

#include <string>

#include "zoo/core/error.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace po = boost::program_options;

DType read_dtype(const po::variables_map& values) {
  if (!values.contains("dtype")) return DType::f32;
  const auto& dtype = values["dtype"].as<std::string>();
  if (dtype != "f32" && dtype != "f64") throw UsageError("--dtype is '{}'; it must be f32 or f64", dtype);
  return dtype == "f64" ? DType::f64 : DType::f32;
}

std::vector<std::int64_t> read_chunks(const po::variables_map& values) {
  std::vector<std::int64_t> chunks;
  if (!values.contains("chunks")) return chunks;
  for (const std::string& part : split(values["chunks"].as<std::string>(), ',')) {
    chunks.push_back(parse_integer("--chunks", part, 1));
  }
  return chunks;
}

std::vector<std::int64_t> chunks_of(const std::vector<std::int64_t>& given, std::int64_t T, std::string_view what) {
  if (given.empty()) return {T};
  std::int64_t rest = T;
  // Subtracted, so that lengths near 2^63 do not overflow a sum.
  for (const std::int64_t length : given) rest = length > rest ? -1 : rest - length;
  if (rest != 0) {
    throw UsageError("--chunks {} does not add up to the length of {}, {}", fmt::join(given, ","), what, T);
  }
  return given;
}

}  // namespace zoo
