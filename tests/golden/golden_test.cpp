#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "zoo/core/parallel.h"
#include "zoo/core/plugin.h"
#include "zoo/io/tensor_file.h"
#include "zoo/nn/single_layer.h"

namespace zoo::test {
namespace {

namespace fs = std::filesystem;

/// Layers without a file here, and why none is needed.
const std::map<std::string, std::string>& exceptions() {
  static const std::map<std::string, std::string> reasons = {};
  return reasons;
}

/// What a reference implementation made of given numbers, tests/golden/LAYER/CASE.safetensors: x, dy, y, dx, and of
/// each parameter w.NAME and grad.NAME. Computed in float64 from float32 values, and rounded to float32.
struct GoldenCase {
  fs::path path;

  std::string layer() const { return path.parent_path().filename().string(); }
  std::string name() const { return layer() + "_" + path.stem().string(); }
  friend std::ostream& operator<<(std::ostream& out, const GoldenCase& one) { return out << one.name(); }
};

std::vector<GoldenCase> all_cases() {
  std::vector<GoldenCase> all;
  for (const auto& folder : fs::directory_iterator(ZOO_GOLDEN_FOLDER)) {
    if (!folder.is_directory()) continue;
    for (const auto& file : fs::directory_iterator(folder)) {
      if (file.path().extension() == ".safetensors") all.push_back({file.path()});
    }
  }
  std::ranges::sort(all, {}, &GoldenCase::path);
  return all;
}

double rms(const Tensor& values) {
  double total = 0;
  for (const double value : values.values<double>()) total += value * value;
  return std::sqrt(total / static_cast<double>(values.size()));
}

/// Infinity where a value is NaN or the shapes differ.
double rms_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  double total = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double difference = a.data<double>()[i] - b.data<double>()[i];
    total += difference * difference;
  }
  return std::isnan(total) ? INFINITY : std::sqrt(total / static_cast<double>(a.size()));
}

class Golden : public testing::TestWithParam<GoldenCase> {
 protected:
  Golden() : file_(GetParam().path) {
    x_ = read_tensor(file_, "x");
    single_ = make_single_layer(find_layer_entry(GetParam().layer()), x_.dim(2),
                                nlohmann::json::parse(file_.metadata().at("options")), x_.dim(1));
  }

  /// Every tensor of the answer against the file's, relative to its size; a gradient that is (next to) zero in the
  /// reference, relative to the largest gradient. Where the reference itself has larger errors in float32 than a
  /// quarter of the tolerance, since terms of both signs cancel, four times its error is allowed: both are draws of one
  /// size.
  void expect_answer(DType dtype, const std::vector<std::int64_t>& chunks, double tolerance) {
    for (const Parameter& parameter : single_.parameters) {
      parameter.set_value(read_tensor(file_, "w." + parameter.spec().name).to(dtype).variable());
    }
    const LayerResult result = evaluate(single_, x_.to(dtype), read_tensor(file_, "dy").to(dtype), chunks);
    std::vector<std::pair<std::string, Tensor>> answer = {{"y", result.y}, {"dx", result.dx}};
    for (std::size_t i = 0; i < single_.parameters.size(); ++i) {
      answer.emplace_back("grad." + single_.parameters[i].spec().name, result.parameter_grads[i]);
    }
    const auto own_errors = nlohmann::json::parse(dtype == DType::f32 && file_.metadata().contains("float32_errors")
                                                      ? file_.metadata().at("float32_errors")
                                                      : "{}");
    double largest_gradient = 0;
    for (const auto& [name, tensor] : answer) {
      if (name != "y") largest_gradient = std::max(largest_gradient, rms(read_tensor(file_, name).to(DType::f64)));
    }
    for (const auto& [name, tensor] : answer) {
      const Tensor expected = read_tensor(file_, name).to(DType::f64);
      const double size = rms(expected);
      // A gradient that vanishes by cancellation carries the rounding of what cancelled.
      const double unit = name != "y" && size < 1e-6 * largest_gradient ? largest_gradient : size;
      const double allowed = std::max(tolerance, 4 * own_errors.value(name, 0.0));
      EXPECT_LT(rms_difference(tensor.to(DType::f64), expected) / unit, allowed)
          << name << " of " << GetParam() << " in " << dtype_name(dtype) << ", chunks "
          << testing::PrintToString(chunks) << "; the reference is " << file_.metadata().at("reference");
    }
  }

  std::int64_t length() const { return x_.dim(1); }

  SafetensorsFile file_;
  Tensor x_;
  SingleLayer single_;
};

TEST_P(Golden, HasTheLayersParameters) {
  std::vector<std::string> expected = {"x", "dy", "y", "dx"};
  for (const Parameter& parameter : single_.parameters) {
    const std::string& name = parameter.spec().name;
    expected.insert(expected.end(), {"w." + name, "grad." + name});
    if (file_.has("w." + name)) {
      EXPECT_EQ(read_tensor(file_, "w." + name).shape().str(), parameter.spec().shape.str()) << name;
    }
  }
  std::vector<std::string> there;
  for (const SafetensorsInfo& info : file_.tensors()) there.push_back(info.name);
  EXPECT_THAT(there, testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(file_.metadata().at("layer"), GetParam().layer());
}

// The file's numbers are rounded to float32, to 2^-25 at most and 3e-8 in the root mean square; what the layer rounds
// is far below. An epsilon in the wrong place is not.
TEST_P(Golden, Float64IsTheReferenceToTheFilesRounding) {
  expect_answer(DType::f64, {length()}, 1e-7);
}

TEST_P(Golden, Float32InOneChunk) {
  expect_answer(DType::f32, {length()}, 1e-5);
}

TEST_P(Golden, Float32InChunks) {
  const std::int64_t T = length();
  std::vector<std::vector<std::int64_t>> splits = {{1, T - 1}, {T - 1, 1}, {T / 2, T - T / 2}};
  if (T > 13) splits.push_back({5, 1, 7, T - 13});
  RandomStream random(RandomKey::of(0, GetParam().name()));
  for (int draw = 0; draw < 3; ++draw) {
    std::vector<std::int64_t>& split = splits.emplace_back();
    for (std::int64_t rest = T; rest > 0; rest -= split.back()) {
      split.push_back(
          1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(std::min<std::int64_t>(rest, 9)))));
    }
  }
  for (const std::vector<std::int64_t>& split : splits) expect_answer(DType::f32, split, 1e-5);
}

TEST_P(Golden, Float32TokenByToken) {
  expect_answer(DType::f32, std::vector<std::int64_t>(static_cast<std::size_t>(length()), 1), 1e-5);
}

std::string name_of(const testing::TestParamInfo<GoldenCase>& test) {
  return test.param.name();
}
INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(all_cases()), name_of);

TEST(GoldenCases, EveryLayerHasOneOrAReasonForNone) {
  std::map<std::string, int> counts;
  for (const GoldenCase& one : all_cases()) ++counts[one.layer()];
  for (const Registry<LayerEntry>* registry : {&layer_registry(), &feed_forward_registry()}) {
    for (const std::string& name : registry->names()) {
      const bool exempt = exceptions().contains(name);
      EXPECT_NE(counts.contains(name), exempt)
          << name
          << (exempt ? " has files: take it off the exceptions"
                     : " has no file: write tests/peers/golden/" + name + ".py and run it");
    }
  }
}

// Files are kept in the repository.
TEST(GoldenCases, AreSmall) {
  for (const GoldenCase& one : all_cases()) {
    EXPECT_LT(fs::file_size(one.path), 150'000U) << one;
    EXPECT_TRUE(fs::exists(fs::path(ZOO_GOLDEN_FOLDER) / "../peers/golden" / (one.layer() + ".py"))) << one;
  }
}

}  // namespace
}  // namespace zoo::test

// Tests over files are made when GoogleTest starts. One thread: ctest runs several tests at a time.
int main(int argc, char** argv) {
  zoo::set_threads(1);
  zoo::register_builtin();
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
