#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace zoo {

/// What a run's numbers may depend on besides its settings, recorded beside it and never hashed: the version of zoo and
/// its git revision, compiler, processor and instruction set in use, threads, oneDNN's version, plugins, the command,
/// and the GPU where tensors lie on one.
nlohmann::json describe_environment(int threads, const std::vector<std::string>& plugins, const std::string& command);

/// Lines "name: THEN then, NOW now" for what differs and can change the bits of a result (not the command).
std::vector<std::string> environment_differences(const nlohmann::json& then, const nlohmann::json& now);

}  // namespace zoo
