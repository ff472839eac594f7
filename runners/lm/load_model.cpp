#include "runners/lm/load_model.h"

#include "zoo/lm/pretrained.h"

namespace zoo {

LoadedModel load_model(const std::string& folder, DType dtype) {
  const ModelSpec spec = pretrained_spec(folder);
  LoadedModel loaded{spec, Model::zeros(spec, dtype)};
  load_pretrained(folder, loaded.model);
  return loaded;
}

}  // namespace zoo
