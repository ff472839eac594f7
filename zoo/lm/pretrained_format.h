#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zoo/core/options.h"
#include "zoo/core/registry.h"
#include "zoo/lm/public_config.h"
#include "zoo/nn/model.h"

namespace zoo {

/// How a public checkpoint spells the names of parameters: what our names begin with, and what stands there instead.
/// The first rule that fits is taken.
struct PublicNames {
  using Rules = std::vector<std::pair<std::string, std::string>>;
  std::string blocks;  ///< instead of "blocks.": "model.layers."
  Rules in_block;      ///< of what follows the block's number: {"norm1.", "input_layernorm."}
  Rules outside;       ///< of all others: {"norm_f.", "model.norm."}

  /// Their name of a parameter; throws Error for one that no rule fits.
  std::string theirs(const std::string& ours) const;
};

/// A model to be written: its settings, defaults included, its parameters, and what in it the format has no word for.
struct ExportedModel {
  const ModelSpec& spec;
  const Parameters& parameters;
  Options layer;
  Options backbone;
  Options feed_forward;
  std::vector<std::string> obstacles = {};

  /// Adds an obstacle unless the condition holds.
  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> obstacle, Args&&... args) {
    if (!condition) obstacles.push_back(fmt::format(obstacle, std::forward<Args>(args)...));
  }
  /// The extent of a parameter along an axis: of the first block's mixer, "mixer.dt_bias", or feed-forward.
  std::int64_t extent(std::string_view name, int axis) const;
};

/// A kind of public checkpoint, one a file: zoo/lm/pretrained_NAME.cpp.
struct PretrainedFormat {
  std::string name;                    ///< its model_type
  std::string architecture;            ///< transformers' class: "LlamaForCausalLM"
  std::vector<std::string> layers;     ///< that it can hold
  std::vector<std::string> backbones;  ///< around them
  std::string feed_forward;            ///< in each block, or "none"
  bool tied_by_default = false;        ///< tie_word_embeddings where config.json does not say
  PublicNames names;
  std::vector<std::string> ignored = {};  ///< ends of the names of tensors that hold nothing to be learned
  /// The model of a config.json, without vocabulary, width, blocks and the head's tie, which are common to all; adds to
  /// the config's problems what cannot be had.
  std::function<void(PublicConfig& config, ModelSpec& spec)> read;
  /// The settings of config.json beside those common to all; adds to the model's obstacles.
  std::function<nlohmann::ordered_json(ExportedModel& model)> write;
};

Registry<PretrainedFormat>& pretrained_registry();

/// Registers a format from the file that defines it.
struct RegisterPretrained {
  explicit RegisterPretrained(PretrainedFormat format) { pretrained_registry().add(std::move(format)); }
};

/// The most that config.json may ask for: of widths (options go as far), and of tokens and positions (32 bits).
inline constexpr Range public_widths = {1, 1 << 24};
inline constexpr Range public_counts = {1, 2147483647};

}  // namespace zoo
