#include "zoo/lm/public_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <system_error>

#include "zoo/core/error.h"
#include "zoo/io/tensor_file.h"
#include "zoo/lm/public_config.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t longest_index = 100'000'000;
constexpr std::size_t most_problems_shown = 20;

// A name within the folder: no way out of it.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

std::string extents(const SafetensorsInfo& info) {
  return fmt::format("[{}]", fmt::join(info.shape, ", "));
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// What is wrong, gathered, with only the first written out.
class Problems {
 public:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (++count_ <= most_problems_shown) lines_ += "\n  " + fmt::format(format, std::forward<Args>(args)...);
  }
  // Whether one more would be written out.
  bool shown() const { return count_ < most_problems_shown; }
  void require_none(const std::string& what) const {
    if (count_ == 0) return;
    const std::string rest =
        count_ > most_problems_shown ? fmt::format("\n  and {} more", count_ - most_problems_shown) : "";
    throw UsageError("{}:{}{}", what, lines_, rest);
  }

 private:
  std::size_t count_ = 0;
  std::string lines_;
};

}  // namespace

PublicWeights::PublicWeights(const fs::path& folder) : source_(folder / "model.safetensors") {
  const fs::path index = folder / "model.safetensors.index.json";
  if (!is_there(source_)) {
    if (is_there(index)) {
      read_index(index);
      return;
    }
    const char* hint = is_there(folder / "pytorch_model.bin")
                           ? "; there is a pytorch_model.bin: save it again with transformers' save_pretrained"
                           : "";
    throw UsageError("'{}' has neither model.safetensors nor model.safetensors.index.json{}", folder.string(), hint);
  }
  shards_.emplace_back(source_);
  for (const SafetensorsInfo& tensor : shards_[0].tensors()) shard_of_[tensor.name] = 0;
}

void PublicWeights::read_index(const fs::path& index) {
  source_ = index;
  const nlohmann::json content = read_public_json(index, longest_index);
  if (!content.is_object() || !content.contains("weight_map") || !content.at("weight_map").is_object()) {
    throw UsageError("'{}' has no weight_map from names of tensors to names of files", index.string());
  }
  const nlohmann::json& names = content.at("weight_map");
  std::set<std::string> files;
  for (const auto& [tensor, file] : names.items()) {
    if (!file.is_string() || !is_plain_name(file.get<std::string>())) {
      throw UsageError("'{}' puts tensor '{}' into {}; expected the name of a file in the same folder", index.string(),
                       tensor, file.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    }
    files.insert(file.get<std::string>());
  }
  Problems problems;
  for (const std::string& file : files) {
    shards_.emplace_back(index.parent_path() / file);
    for (const SafetensorsInfo& tensor : shards_.back().tensors()) {
      if (!shard_of_.emplace(tensor.name, shards_.size() - 1).second) {
        problems.add("tensor '{}' is in '{}' and in another shard", tensor.name, file);
      }
    }
  }
  for (const auto& [tensor, file] : names.items()) {
    const auto at = shard_of_.find(tensor);
    if (at == shard_of_.end() || shards_[at->second].path().filename() != file.get<std::string>()) {
      problems.add("tensor '{}' is not in '{}'", tensor, file.get<std::string>());
    }
  }
  problems.require_none(fmt::format("'{}' does not fit its shards", index.string()));
}

const SafetensorsInfo& PublicWeights::info(const std::string& name) const {
  return shards_[shard_of_.at(name)].info(name);
}

Tensor PublicWeights::read(const std::string& name) const {
  return read_tensor(shards_[shard_of_.at(name)], name);
}

void PublicWeights::require(std::span<const ExpectedTensor> expected, std::span<const std::string> ignored) const {
  Problems problems;
  std::set<std::string> known;
  std::vector<std::string> candidates;
  for (const ExpectedTensor& tensor : expected) {
    known.insert(tensor.name);
    candidates.push_back(tensor.name);
    if (!has(tensor.name)) {
      if (!tensor.optional) problems.add("there is no tensor '{}'; expected {}", tensor.name, tensor.shape.str());
      continue;
    }
    const SafetensorsInfo& found = info(tensor.name);
    if (!std::ranges::equal(found.shape, tensor.shape.dims())) {
      problems.add("tensor '{}' is {}; expected {}", tensor.name, extents(found), tensor.shape.str());
    }
    constexpr std::array real = {"F32", "F64", "F16", "BF16"};
    if (std::ranges::find(real, found.dtype) == real.end()) {
      problems.add("tensor '{}' has dtype {}; expected F32, F64, F16 or BF16", tensor.name, found.dtype);
    }
  }
  for (const auto& [name, shard] : shard_of_) {
    const auto ends = [&, &text = name](const std::string& suffix) { return text.ends_with(suffix); };
    if (known.contains(name) || std::ranges::any_of(ignored, ends)) continue;
    const std::string nearest = problems.shown() ? nearest_name(name, candidates) : "";
    problems.add("unknown tensor '{}' {}{}", name, extents(info(name)),
                 nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  }
  problems.require_none(fmt::format("'{}' does not hold the tensors of the model in config.json", source_.string()));
}

}  // namespace zoo
