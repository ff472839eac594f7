#include "zoo/lm/pretrained.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/temporary_directory.h"
#include "zoo/core/tape.h"
#include "zoo/io/tensor_file.h"
#include "zoo/ops/ops.h"

namespace zoo::test {
namespace {

namespace fs = std::filesystem;

/// A small public checkpoint, drawn at random, with what transformers (or the release of TTT) made of it in float32:
/// tests/golden/lm/NAME/{config.json, model.safetensors, answer.safetensors}. Made by tests/peers/interchange.py.
std::vector<std::string> all_checkpoints() {
  std::vector<std::string> names;
  for (const auto& folder : fs::directory_iterator(fs::path(ZOO_GOLDEN_FOLDER) / "lm")) {
    names.push_back(folder.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

Model load(const std::string& folder, DType dtype = DType::f32) {
  Model model = Model::zeros(pretrained_spec(folder), dtype);
  load_pretrained(folder, model);
  return model;
}

class Pretrained : public testing::TestWithParam<std::string> {
 protected:
  std::string folder_ = (fs::path(ZOO_GOLDEN_FOLDER) / "lm" / GetParam()).string();
  SafetensorsFile answer_{fs::path(folder_) / "answer.safetensors"};
  Tensor tokens_ = read_tensor(answer_, "tokens");

  /// The largest difference to the reference's logits, of tokens given in chunks of these lengths.
  double difference(const Model& model, const std::vector<std::int64_t>& chunks) const {
    const NoTape off;
    const Tensor expected = read_tensor(answer_, "logits").to(DType::f64);
    ModelState state = model.initial_state(tokens_.dim(0));
    Tensors parts;
    std::int64_t begin = 0;
    for (const std::int64_t length : chunks) {
      const Tensor hidden = model.forward(ops::slice(tokens_, 1, begin, begin + length), state, {});
      parts.push_back(ops::linear(hidden, model.head().weight()));
      begin += length;
    }
    const Tensor logits = ops::concat(parts, 1).to(DType::f64);
    EXPECT_EQ(logits.shape(), expected.shape());
    double largest = 0;
    for (std::int64_t i = 0; i < logits.size(); ++i) {
      const double one = std::abs(logits.data<double>()[i] - expected.data<double>()[i]);
      largest = std::isnan(one) ? INFINITY : std::max(largest, one);
    }
    return largest;
  }
};

// Logits are up to 5 large; what float32 rounds in some blocks of a few hundred operations a value, on either side, is
// some ten of its steps of 2^-22 there. A wrong epsilon, name or order is far above.
constexpr double tolerance = 2e-5;

TEST_P(Pretrained, HasTheReferencesLogits) {
  const std::int64_t T = tokens_.dim(1);
  const Model model = load(folder_);
  EXPECT_LT(difference(model, {T}), tolerance);
  EXPECT_LT(difference(model, {5, 1, 7, T - 13}), tolerance);
  EXPECT_LT(difference(model, std::vector<std::int64_t>(static_cast<std::size_t>(T), 1)), tolerance);
  EXPECT_LT(difference(load(folder_, DType::f64), {T}), tolerance);
}

TEST_P(Pretrained, IsWrittenAsItWasRead) {
  const test::TemporaryDirectory folder;
  const fs::path copy = folder / "copy";
  const Model model = load(folder_);
  export_pretrained(pretrained_spec(folder_), model, copy.string());

  const SafetensorsFile before(fs::path(folder_) / "model.safetensors"), after(copy / "model.safetensors");
  EXPECT_EQ(after.metadata(), (SafetensorsMetadata{{"format", "pt"}}));
  for (const SafetensorsInfo& tensor : after.tensors()) EXPECT_EQ(before.info(tensor.name), tensor);
  for (const SafetensorsInfo& tensor : before.tensors()) {
    ASSERT_TRUE(after.has(tensor.name)) << tensor.name;
    EXPECT_EQ(before.read(tensor.name), after.read(tensor.name)) << tensor.name;
  }
  // What config.json said before it says again, as far as it matters to the model.
  const Model again = load(copy.string());
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const Tensor &one = model.parameters()[i].value(), &other = again.parameters()[i].value();
    EXPECT_THAT(other.values<float>(), testing::ElementsAreArray(one.values<float>()));
  }
  EXPECT_EQ(difference(again, {tokens_.dim(1)}), difference(model, {tokens_.dim(1)}));
}

// Files are kept in the repository.
TEST_P(Pretrained, IsSmall) {
  EXPECT_LT(fs::file_size(fs::path(folder_) / "model.safetensors"), 110'000U);
  EXPECT_LT(fs::file_size(fs::path(folder_) / "answer.safetensors"), 20'000U);
}

std::string name_of(const testing::TestParamInfo<std::string>& test) {
  return test.param;
}
INSTANTIATE_TEST_SUITE_P(All, Pretrained, testing::ValuesIn(all_checkpoints()), name_of);

}  // namespace
}  // namespace zoo::test
