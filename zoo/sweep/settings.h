#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "zoo/core/precision.h"
#include "zoo/sweep/cells.h"
#include "zoo/sweep/match.h"

namespace zoo {

/// All that a sweep is made of. Its lists multiply into runs.
struct SweepSettings {
  std::vector<std::string> layers;    ///< names, or hybrids such as "base_conv+attention"
  std::vector<std::int64_t> d_model;  ///< empty when `match` chooses
  std::optional<Match> match;         ///< chooses a width for each layer and cell, or with d_model a state
  std::vector<double> lr;
  std::vector<std::int64_t> seeds;
  std::vector<Cell> cells;
  /// For each layer its options as given; checked against the registry when the sweep is planned.
  std::map<std::string, nlohmann::json> layer_options;

  std::string task;
  nlohmann::json task_options = nlohmann::json::object();  ///< as given, without those of the cells
  std::int64_t epochs = 0;
  std::optional<double> stop_accuracy;  ///< on validation; none: train all epochs
  std::string backbone;
  nlohmann::json backbone_options = nlohmann::json::object();
  std::string feed_forward;
  nlohmann::json feed_forward_options = nlohmann::json::object();
  std::int64_t blocks = 0;
  double weight_decay = 0;
  Precision precision = Precision::float32;
  bool fresh_data = false;     ///< each epoch has examples of its own
  bool constant_rate = false;  ///< the learning rate stays, instead of following a cosine by epoch
  double final_lr = 0;         ///< where the cosine ends
  bool tied_head = true;
  bool halving = false;  ///< learning rates are searched by successive halving, instead of all being trained
};

/// Settings as somebody wrote them: names as on the command line without the dashes, values as text. The repeatable
/// ones (layer-option, option, task-option, train-option, test-option, backbone-option, feed-forward-option) hold an
/// assignment, "attention.heads=2".
struct SettingSource {
  std::string origin = {};  ///< for messages: "preset quick", "recall.cfg", "the command line"
  std::vector<std::pair<std::string, std::string>> values = {};
};

/// One name that a source may set.
struct SettingName {
  std::string name;
  bool repeatable = false;
  std::string help;
};
/// All of them, in the order in which help shows them.
const std::vector<SettingName>& setting_names();

/// Reads the sources together. The first is a preset; a later one overrides an earlier one name by name, the repeatable
/// ones key by key. Options that a preset gives to layers, or to a task, backbone or feed-forward, that the sweep does
/// not use are left out; given by the user they are an error. Throws UsageError for anything that cannot be read, that
/// is given twice in one source, or that contradicts (a mixture by --train beside --seq-len).
SweepSettings read_sweep_settings(const std::vector<SettingSource>& sources);

/// The options that one source gives to these layers, by `layer-option` and, for one layer alone, `option`; by layer,
/// as text. Throws UsageError as read_sweep_settings().
std::map<std::string, nlohmann::json> read_layer_options(const std::vector<std::string>& layers,
                                                         const SettingSource& source);

}  // namespace zoo
