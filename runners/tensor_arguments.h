#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "zoo/core/tensor.h"

/// What the commands that compute given tensors (`zoo forward`, `zoo lm logits`) read alike. All throw UsageError.
namespace zoo {

/// --dtype: f32, which is the default, or f64.
DType read_dtype(const boost::program_options::variables_map& values);

/// --chunks: lengths of at least 1, a,b,c; none when it is not given.
std::vector<std::int64_t> read_chunks(const boost::program_options::variables_map& values);

/// The lengths of the chunks of a sequence of T positions: those that were given, which must add up to T, or T alone.
/// `what` has that length, in messages: "x", "the tokens".
std::vector<std::int64_t> chunks_of(const std::vector<std::int64_t>& given, std::int64_t T, std::string_view what);

}  // namespace zoo
