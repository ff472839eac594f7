#include "zoo/sweep/environment.h"

#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include <fstream>
#include <set>

#include "zoo/core/device.h"
#include "zoo/core/version.h"
#include "zoo/cpu/isa.h"
#include "zoo/sweep/revision.h"
#include "zoo/sweep/text.h"

namespace zoo {

namespace {

std::string compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "GCC " __VERSION__;
#endif
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const auto colon = line.find(':');
    if (line.starts_with("model name") && colon != std::string::npos) {
      return std::string(trim(std::string_view(line).substr(colon + 1)));
    }
  }
  return "unknown";
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

// A missing entry reads as null.
nlohmann::json entry(const nlohmann::json& object, const std::string& name) {
  return object.is_object() && object.contains(name) ? object.at(name) : nlohmann::json();
}

}  // namespace

nlohmann::json describe_environment(int threads, const std::vector<std::string>& plugins, const std::string& command) {
  nlohmann::json environment = {{"zoo", version},
                                {"revision", git_revision},
                                {"compiler", compiler()},
                                {"processor", processor()},
                                {"instruction_set", isa_name()},
                                {"threads", threads},
                                {"onednn", onednn_version()},
                                {"plugins", plugins},
                                {"command", command}};
  // Only where it is not the CPU, so that records of the CPU read as they always did.
  if (on_gpu()) environment["device"] = device_description();
  return environment;
}

std::vector<std::string> environment_differences(const nlohmann::json& then, const nlohmann::json& now) {
  std::set<std::string> names;
  for (const auto* object : {&then, &now}) {
    for (const auto& [name, value] : object->items()) names.insert(name);
  }
  names.erase("command");
  std::vector<std::string> differences;
  for (const std::string& name : names) {
    const nlohmann::json before = entry(then, name);
    const nlohmann::json after = entry(now, name);
    if (before != after) differences.push_back(fmt::format("{}: {} then, {} now", name, before.dump(), after.dump()));
  }
  return differences;
}

}  // namespace zoo
