#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include "zoo/check/answer.h"
#include "zoo/check/checks.h"
#include "zoo/core/error.h"
#include "zoo/core/tape.h"
#include "zoo/io/safetensors.h"

namespace zoo::check {

namespace {

/// A new directory, removed at the end of the scope.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "zoo-check-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error("cannot make a directory like {}; is the disk full?", name);
    path_ = name;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string describe(const Parameters& parameters) {
  std::string text;
  for (const Parameter& parameter : parameters) {
    text += fmt::format("{} {}; ", parameter.spec().name, parameter.spec().shape.str());
  }
  return text;
}

void save(const Parameters& parameters, const std::filesystem::path& path) {
  std::vector<SafetensorsEntry> entries;
  for (const Parameter& parameter : parameters) {
    const Tensor& value = parameter.value();
    const auto dims = value.shape().dims();
    entries.push_back({.info = {.name = parameter.spec().name, .dtype = "F32", .shape = {dims.begin(), dims.end()}},
                       .values = {static_cast<const std::byte*>(value.raw()), value.bytes()}});
  }
  write_safetensors(path, std::move(entries));
}

void load(const Parameters& parameters, const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  if (file.tensors().size() != parameters.size()) {
    throw Error("{} tensors were saved of {} parameters", file.tensors().size(), parameters.size());
  }
  for (const Parameter& parameter : parameters) {
    const Tensor& value = parameter.value();
    const auto dims = parameter.spec().shape.dims();
    const SafetensorsInfo& info = file.info(parameter.spec().name);
    if (!std::ranges::equal(info.shape, dims)) {
      throw Error("parameter {} was declared as {} and saved in another shape", info.name,
                  parameter.spec().shape.str());
    }
    file.read(info.name, {static_cast<std::byte*>(value.raw()), value.bytes()});
  }
}

}  // namespace

void check_parameters(const Trial& trial, Verdict& verdict) {
  const SubjectSettings settings{.lively = false};
  const Subject subject(trial, settings);
  const Subject again(trial, settings);
  std::set<std::string> names;
  for (const Parameter& parameter : subject.parameters()) {
    const std::string& name = parameter.spec().name;
    verdict.require(!name.empty(), "a parameter has no name");
    verdict.require(names.insert(name).second, fmt::format("parameter '{}' is declared twice", name));
    verdict.require(parameter.spec().shape.size() > 0,
                    fmt::format("parameter '{}' has no elements: {}", name, parameter.spec().shape.str()));
    for (const float value : parameter.value().values<float>()) {
      if (std::isfinite(value)) continue;
      verdict.require(false, fmt::format("parameter '{}' begins with the value {}", name, value));
      break;
    }
  }
  const std::string declared = describe(subject.parameters()), declared_again = describe(again.parameters());
  verdict.require(declared == declared_again,
                  fmt::format("built twice, it declares {} and then {}", declared, declared_again));
  if (verdict.outcome() == Outcome::failed) return;
  for (std::size_t i = 0; i < subject.parameters().size(); ++i) {
    const Tensor& value = subject.parameters()[i].value();
    const Tensor& value_again = again.parameters()[i].value();
    verdict.require(std::memcmp(value.raw(), value_again.raw(), value.bytes()) == 0,
                    fmt::format("parameter '{}' begins with other values the second time: its initialiser must draw "
                                "from the stream that it is given",
                                subject.parameters()[i].spec().name));
  }

  const Tensor x = trial.input("parameters", 2, usual_length, DType::f32).variable();
  State state = subject.layer().initial_state(2);
  const Tensor y = run(subject.layer(), x, state);
  verdict.require(y.requires_grad(), "the output is off the tape: nothing can be learned");
  if (!y.requires_grad() || subject.parameters().empty()) return;
  const Tensor output_grad = Tensor::full(y.shape(), 1);
  const Tensors gradients = grad({&y, 1}, subject.variables(), {&output_grad, 1});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    verdict.require(gradients[i].defined(), fmt::format("no output depends on parameter '{}': no gradient reaches it",
                                                        subject.parameters()[i].spec().name));
  }
  verdict.note(fmt::format("{} parameters, {} values", gradients.size(), count_values(subject.parameters())));
}

void check_save_load(const Trial& trial, Verdict& verdict) {
  const Subject saved(trial);
  const Subject fresh(trial, {.draw = 1});
  const ScratchDirectory directory;
  const std::filesystem::path path = directory.path() / "layer.safetensors";
  save(saved.parameters(), path);
  load(fresh.parameters(), path);

  const Tensor x = trial.input("save_load", 2, usual_length, DType::f32);
  const Answer before = answer(saved, x, x, {.gradients = false});
  const Answer after = answer(fresh, x, x, {.gradients = false});
  for (std::size_t i = 0; i < before.parts.size(); ++i) {
    const Tensor& a = before.parts[i].values;
    const Tensor& b = after.parts.at(i).values;
    const bool same = a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
    verdict.require(
        same, fmt::format("{} differs after loading: something of the layer is not a parameter", before.parts[i].name));
  }
  verdict.note("bitwise");
}

}  // namespace zoo::check
