#include "zoo/lm/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>

#include "zoo/core/error.h"
#include "zoo/io/record_reader.h"
#include "zoo/io/safetensors.h"
#include "zoo/io/tensor_file.h"
#include "zoo/lm/pretrained.h"
#include "zoo/text/tokenizer_file.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view format_name = "zoo language model";
constexpr int format_version = 1;
constexpr const char* prefix = "step-";

std::vector<NamedTensor> parameters_of(const Model& model) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : model.parameters()) {
    tensors.emplace_back(parameter.spec().name, parameter.value().detach());
  }
  return tensors;
}

void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

// Fills a folder of another name beside it, and gives it its name when all is on the disk.
template <typename Fill>
void write_folder(const fs::path& folder, const Fill& fill) {
  const fs::path partial = folder.parent_path() / ("." + folder.filename().string() + ".partial");
  const fs::path previous = folder.parent_path() / ("." + folder.filename().string() + ".previous");
  try {
    fs::remove_all(partial);
    fs::create_directories(partial);
    fill(partial);
    sync_folder(partial);
    fs::remove_all(previous);
    if (fs::exists(folder)) fs::rename(folder, previous);
    fs::rename(partial, folder);
    sync_folder(folder.parent_path());
    fs::remove_all(previous);
  } catch (const fs::filesystem_error& failure) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    throw Error("cannot write the checkpoint {}: {}", folder.string(), failure.code().message());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    throw;
  }
}

json read_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "state.json";
  std::ifstream file(path);
  if (!file) {
    throw UsageError(
        "{} is no checkpoint: it has neither a state.json, as zoo lm train writes it, nor a config.json of "
        "a public model",
        checkpoint.string());
  }
  json state = json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!state.is_object() || state.value("format", json()) != json(format_name) ||
      !state.value("version", json()).is_number_integer()) {
    throw UsageError("{} is damaged, or no state of a language model", path.string());
  }
  if (const auto version = state["version"].get<std::int64_t>(); version > format_version) {
    throw UsageError("{} is of version {}, from a newer zoo; this one reads up to {}", path.string(), version,
                     format_version);
  }
  return state;
}

// Throws unless the file has exactly these parameters. Asked before a model is made: a damaged or hostile file must not
// make us ask for memory that its tensors do not need.
void check_parameters(const SafetensorsFile& file, const Parameters& parameters) {
  std::vector<std::string> problems;
  std::set<std::string> names;
  for (const Parameter& parameter : parameters) {
    const ParameterSpec& spec = parameter.spec();
    names.insert(spec.name);
    if (!file.has(spec.name)) {
      problems.push_back(fmt::format("{} is missing", spec.name));
      continue;
    }
    const auto& shape = file.info(spec.name).shape;
    if (!std::ranges::equal(shape, spec.shape.dims())) {
      problems.push_back(fmt::format("{} is [{}], not {}", spec.name, fmt::join(shape, ", "), spec.shape.str()));
    }
  }
  for (const SafetensorsInfo& info : file.tensors()) {
    if (!names.contains(info.name)) problems.push_back(fmt::format("{} is unknown", info.name));
  }
  if (!problems.empty()) {
    throw UsageError("{} does not hold this model's parameters: {}", file.path().string(), fmt::join(problems, "; "));
  }
}

void read_parameters(const SafetensorsFile& file, const Parameters& parameters) {
  for (const Parameter& parameter : parameters) {
    const Tensor& value = parameter.value();
    const Tensor read = read_tensor(file, parameter.spec().name).to(value.dtype());
    std::memcpy(value.raw(), read.raw(), value.bytes());
  }
}

json state_of(const ModelSpec& spec) {
  return {{"format", format_name}, {"version", format_version}, {"model", model_json(spec)}, {"run", nullptr}};
}

}  // namespace

void write_lm_checkpoint(const fs::path& folder, const RunSpec& run, const ModelSpec& model, LmTrainer& trainer,
                         const Tokenizer& tokenizer, const LmPosition& position, int keep) {
  json state = state_of(model);
  state["run"] = {{"id", run.id()}, {"subject", run.subject}, {"axes", run.axes}, {"setting", run.setting}};
  state["position"] = {{"step", position.step},
                       {"seconds", position.seconds},
                       {"flops", position.flops},
                       {"data_hash", fmt::format("{:016x}", position.data_hash)},
                       {"optimizer_steps", trainer.optimizer().steps}};
  write_folder(folder / fmt::format("{}{:08}", prefix, position.step), [&](const fs::path& into) {
    write_tensors(into / "model.safetensors", parameters_of(trainer.model()));
    const std::vector<NamedTensor> moments = {{"moment1", trainer.optimizer().moment1()},
                                              {"moment2", trainer.optimizer().moment2()}};
    write_tensors(into / "optimizer.safetensors", moments);
    tokenizer.save(into.string());
    write_file_atomically(into / "state.json", state.dump(2) + "\n");
  });
  const auto all = list_lm_checkpoints(folder);
  for (std::size_t i = static_cast<std::size_t>(keep); i < all.size(); ++i) fs::remove_all(all[i]);
}

std::vector<fs::path> list_lm_checkpoints(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  // Numbers have leading zeros up to 10^8 steps, and are longer beyond.
  std::ranges::sort(found, [](const fs::path& a, const fs::path& b) {
    const std::string x = a.filename().string(), y = b.filename().string();
    return x.size() != y.size() ? x.size() > y.size() : x > y;
  });
  return found;
}

LmPosition read_lm_checkpoint(const fs::path& checkpoint, const std::string& run_id, LmTrainer& trainer) {
  const json state = read_state(checkpoint);
  if (!state.contains("run") || !state["run"].is_object() || state["run"].value("id", json()) != json(run_id)) {
    throw UsageError("{} is not a checkpoint of run {}", checkpoint.string(), run_id);
  }
  RecordReader whole(state, "state");
  RecordReader reader(whole.raw("position"), "position");
  LmPosition position{.step = reader.get<std::int64_t>("step"),
                      .seconds = reader.get<double>("seconds"),
                      .flops = reader.get<double>("flops")};
  const auto hash = reader.get<std::string>("data_hash");
  if (hash.size() != 16 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw UsageError("{}: the data_hash is '{}'", checkpoint.string(), hash);
  }
  position.data_hash = std::stoull(hash, nullptr, 16);
  const auto optimizer_steps = reader.get<std::int64_t>("optimizer_steps");

  const SafetensorsFile file(checkpoint / "model.safetensors");
  check_parameters(file, trainer.model().parameters());
  const SafetensorsFile moments(checkpoint / "optimizer.safetensors");
  const std::vector<std::int64_t> size = {trainer.model().slab().size()};
  for (const char* name : {"moment1", "moment2"}) {
    if (moments.info(name).shape != size || moments.info(name).dtype != "F32") {
      throw UsageError("{}: the tensor '{}' does not fit the model", moments.path().string(), name);
    }
  }
  const auto bytes = [](Tensor& tensor) { return std::span(static_cast<std::byte*>(tensor.raw()), tensor.bytes()); };
  // Everything fits: from here on nothing is half taken over.
  moments.read("moment1", bytes(trainer.optimizer().moment1()));
  moments.read("moment2", bytes(trainer.optimizer().moment2()));
  read_parameters(file, trainer.model().parameters());
  trainer.optimizer().steps = optimizer_steps;
  return position;
}

LoadedLm load_lm(const fs::path& folder, DType dtype) {
  fs::path checkpoint = folder;
  if (!fs::exists(folder / "state.json")) {
    if (fs::exists(folder / "config.json")) {
      const ModelSpec spec = pretrained_spec(folder.string());
      LoadedLm loaded{.spec = spec, .model = Model::zeros(spec, dtype), .tokenizer = nullptr};
      load_pretrained(folder.string(), loaded.model);
      return loaded;
    }
    const auto all = list_lm_checkpoints(folder / "checkpoints");
    if (!all.empty()) checkpoint = all.front();
  }
  const json state = read_state(checkpoint);
  RecordReader reader(state, "state");
  const ModelSpec spec = model_from_json(reader.raw("model"));
  const SafetensorsFile file(checkpoint / "model.safetensors");
  if (spec.blocks > static_cast<std::int64_t>(file.tensors().size())) {
    throw UsageError("{} has fewer tensors than the model of the state.json beside it has blocks",
                     file.path().string());
  }
  check_parameters(file, Model::declared(spec));
  LoadedLm loaded{.spec = spec, .model = Model::zeros(spec, dtype), .tokenizer = nullptr};
  read_parameters(file, loaded.model.parameters());
  if (fs::exists(checkpoint / "tokenizer.json")) {
    loaded.tokenizer = load_tokenizer(checkpoint.string());
    loaded.tokenizer_digest = tokenizer_digest(checkpoint.string());
  }
  return loaded;
}

}  // namespace zoo
