
#include <fmt/format.h>
#include <xxhash.h>

#include <cmath>
#include <string>

#include "zoo/io/store.h"

namespace zoo {

namespace {

using nlohmann::json;

// 1 and 1.0 are the same setting, whichever way it was typed; beyond 2^53 neighbouring integers share one double.
json canonical(const json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const bool whole = std::trunc(number) == number && std::abs(number) < 9007199254740992.0;
    return whole ? json(static_cast<std::int64_t>(number)) : value;
  }
  if (!value.is_structured()) return value;
  json copy = value;
  for (json& item : copy) item = canonical(item);
  return copy;
}

}  // namespace

std::string RunSpec::id() const {
  const json all = canonical({{"subject", subject}, {"axes", axes}, {"setting", setting}});
  const std::string text = all.dump(-1, ' ', false, json::error_handler_t::replace);
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}", hash.high64).substr(0, 12);
}

std::string_view status_name(RunStatus status) {
  switch (status) {
    case RunStatus::running:
      return "running";
    case RunStatus::done:
      return "done";
    case RunStatus::diverged:
      return "diverged";
    case RunStatus::failed:
      return "failed";
    case RunStatus::interrupted:
      return "interrupted";
  }
  return "unknown";
}

}  // namespace zoo
