#pragma once

#include <string>

#include "zoo/nn/model.h"

namespace zoo {

/// A trained language model.
struct LoadedModel {
  ModelSpec spec;
  Model model;
};

/// Reads the language model in a folder. Throws UsageError, naming the folder or its file, for one that is not there or
/// cannot be used.
LoadedModel load_model(const std::string& folder, DType dtype = DType::f32);

}  // namespace zoo
