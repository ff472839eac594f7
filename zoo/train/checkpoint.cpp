#include "zoo/train/checkpoint.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "zoo/core/error.h"
#include "zoo/io/safetensors.h"

namespace zoo {

namespace {

using nlohmann::json;

constexpr const char* format = "zoo run checkpoint 1";

struct Named {
  const char* name;
  Tensor* tensor;
};

std::array<Named, 3> tensors_of(Trainer& trainer) {
  return {{{"parameters", &trainer.model().slab()},
           {"moment1", &trainer.optimizer().moment1()},
           {"moment2", &trainer.optimizer().moment2()}}};
}

std::span<std::byte> bytes_of(Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.raw()), tensor.bytes()};
}

RunPosition parse(const json& position) {
  return {.epochs = position.at("epochs"),
          .epoch_steps = position.at("epoch_steps"),
          .epoch_loss = position.at("epoch_loss"),
          .seconds = position.at("seconds"),
          .flops = position.at("flops"),
          .validation_accuracy = position.at("validation_accuracy")};
}

}  // namespace

void write_checkpoint(const std::string& path, const std::string& run_id, Trainer& trainer,
                      const RunPosition& position) {
  const json state = {{"epochs", position.epochs},
                      {"epoch_steps", position.epoch_steps},
                      {"epoch_loss", position.epoch_loss},
                      {"seconds", position.seconds},
                      {"flops", position.flops},
                      {"validation_accuracy", position.validation_accuracy},
                      {"optimizer_steps", trainer.optimizer().steps}};
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : tensors_of(trainer)) {
    entries.push_back({{.name = name, .dtype = "F32", .shape = {tensor->size()}}, bytes_of(*tensor)});
  }
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) {
    std::error_code error;
    std::filesystem::create_directories(parent, error);
    if (error) throw Error("cannot create the folder {} for checkpoints: {}", parent.string(), error.message());
  }
  write_safetensors(path, std::move(entries), {{"format", format}, {"run_id", run_id}, {"state", state.dump()}});
}

std::optional<RunPosition> read_checkpoint(const std::string& path, const std::string& run_id, Trainer* trainer) {
  if (path.empty() || !std::filesystem::exists(path)) return std::nullopt;
  try {
    const SafetensorsFile file(path);
    const auto& metadata = file.metadata();
    if (!metadata.contains("format") || metadata.at("format") != format || metadata.at("run_id") != run_id) {
      throw Error("{} is not a checkpoint of run {}", path, run_id);
    }
    const json state = json::parse(metadata.at("state"));
    const RunPosition position = parse(state);
    if (trainer != nullptr) {
      for (const auto& [name, tensor] : tensors_of(*trainer)) {
        if (file.info(name).shape != std::vector<std::int64_t>{tensor->size()} || file.info(name).dtype != "F32") {
          throw Error("{}: the tensor '{}' does not fit the model", path, name);
        }
      }
      // Everything fits: from here on nothing is half taken over.
      for (const auto& [name, tensor] : tensors_of(*trainer)) file.read(name, bytes_of(*tensor));
      trainer->optimizer().steps = state.at("optimizer_steps");
    }
    return position;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "zoo: warning: the run begins anew, since its checkpoint cannot be used: %s\n",
                 problem.what());
    return std::nullopt;
  }
}

}  // namespace zoo
