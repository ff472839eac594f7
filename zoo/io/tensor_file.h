#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zoo/core/tensor.h"
#include "zoo/io/safetensors.h"

namespace zoo {

/// A tensor and its name in a file.
using NamedTensor = std::pair<std::string, Tensor>;

/// Writes tensors (F32, F64 or I32, as they are) to a safetensors file, atomically. Throws Error as
/// write_safetensors().
void write_tensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                   const SafetensorsMetadata& metadata = {});

/// Reads a tensor. F32, F64 and I32 come as they are; F16 and BF16 as f32, which holds each of their values; I64 as
/// i32. Throws UsageError when there is no such tensor, for any other dtype, for more than Shape::max_rank extents,
/// and for an I64 value that i32 does not hold.
Tensor read_tensor(const SafetensorsFile& file, std::string_view name);

/// All tensors of a file, in the order in which they lie there. Throws UsageError as SafetensorsFile and read_tensor().
std::vector<NamedTensor> read_tensors(const SafetensorsFile& file);

}  // namespace zoo
