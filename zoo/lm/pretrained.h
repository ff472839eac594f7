#pragma once

#include <string>

#include "zoo/nn/model.h"

/// Language models under the names of public checkpoints: folders with config.json and model.safetensors, as
/// transformers' save_pretrained writes them.
namespace zoo {

/// Whether a folder holds a public checkpoint: a config.json whose model_type is one that some format knows. A file
/// that cannot be read or is not JSON is none.
bool is_pretrained(const std::string& folder);

/// The model that the folder's config.json describes. Throws UsageError, naming the file, for one that is missing or
/// damaged, and for every setting, with its value, that no model of ours has.
ModelSpec pretrained_spec(const std::string& folder);

/// Sets the parameters of a model made from pretrained_spec(folder) to the values in model.safetensors, or in the
/// shards that model.safetensors.index.json names; F64, F16 and BF16 are converted. Throws UsageError that lists all
/// tensors that are missing, unknown or of another shape or kind, before a parameter is changed.
void load_pretrained(const std::string& folder, Model& model);

/// Writes config.json and model.safetensors, each atomically, config.json last, into a folder that is made when it is
/// not there. Throws UsageError that says what stands in the way when no public format can express the model, Error
/// when it cannot be written.
void export_pretrained(const ModelSpec& spec, const Model& model, const std::string& folder);

}  // namespace zoo
