#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/cli/command.h"
#include "tests/cli/sanitizers.h"
#include "zoo/io/tensor_file.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

/// Values that differ from place to place.
Tensor some_values(const Shape& shape, double offset, DType dtype = DType::f32) {
  Tensor result = Tensor::empty(shape, DType::f64);
  for (std::int64_t i = 0; i < result.size(); ++i) {
    result.data<double>()[i] = std::sin(1.7 * static_cast<double>(i) + offset);
  }
  return result.to(dtype);
}

/// Files for base_conv (kernel 3), whose formula is short enough to be written out again here.
class Forward : public testing::Test {
 protected:
  Forward() {
    write_tensors(input_, inputs());
    write_tensors(weights_, weights());
  }

  static std::vector<NamedTensor> inputs() {
    return {{"x", some_values({2, 5, 4}, 1)}, {"dy", some_values({2, 5, 4}, 2)}};
  }
  static std::vector<NamedTensor> weights() {
    return {{"conv.conv.weight", some_values({4, 1, 3}, 3)},
            {"conv.conv.bias", some_values({4}, 4)},
            {"projection.weight", some_values({4, 4}, 5)},
            {"projection.bias", some_values({4}, 6)}};
  }
  static Tensor named(const std::vector<NamedTensor>& tensors, const std::string& name) {
    for (const auto& [known, tensor] : tensors) {
      if (known == name) return tensor.to(DType::f64);
    }
    throw Error("there is no {}", name);
  }

  // y = (conv(u) + b) * (W u + c) + u at [b,t,channel], in float64.
  static double expected_y(std::int64_t b, std::int64_t t, std::int64_t channel) {
    const Tensor x = named(inputs(), "x"), taps = named(weights(), "conv.conv.weight"),
                 bias = named(weights(), "conv.conv.bias"), w = named(weights(), "projection.weight"),
                 c = named(weights(), "projection.bias");
    const auto u = [&](std::int64_t time, std::int64_t i) {
      return time < 0 ? 0.0 : x.data<double>()[(b * 5 + time) * 4 + i];
    };
    double conv = bias.data<double>()[channel], projection = c.data<double>()[channel];
    for (std::int64_t k = 0; k < 3; ++k) conv += taps.data<double>()[channel * 3 + k] * u(t - 2 + k, channel);
    for (std::int64_t i = 0; i < 4; ++i) projection += w.data<double>()[channel * 4 + i] * u(t, i);
    return conv * projection + u(t, channel);
  }

  std::vector<std::string> arguments(std::vector<std::string> more = {}) const {
    more.insert(more.begin(),
                {"forward", "--layer", "base_conv", "--weights", weights_, "--input", input_, "--output", output_});
    return more;
  }
  ProcessResult forward(const std::vector<std::string>& more = {}) const { return run_zoo(arguments(more)); }

  void expect_refused(const std::vector<std::string>& all, const std::string& words) const {
    const ProcessResult result = run_zoo(all);
    EXPECT_EQ(result.exit_code, 2) << words;
    EXPECT_THAT(result.output, IsEmpty()) << words;
    EXPECT_THAT(result.error, HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(output_)) << words;
  }

  TemporaryDirectory folder_;
  std::string input_ = folder_ / "in.safetensors";
  std::string weights_ = folder_ / "w.safetensors";
  std::string output_ = folder_ / "out.safetensors";
};

std::vector<std::string> names(const SafetensorsFile& file) {
  std::vector<std::string> all;
  for (const SafetensorsInfo& info : file.tensors()) all.push_back(info.name);
  return all;
}

TEST_F(Forward, IsTheFormula) {
  const ProcessResult result = forward({"--dtype", "f64"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, IsEmpty());
  const SafetensorsFile file(output_);
  EXPECT_THAT(names(file), ElementsAre("y"));
  EXPECT_EQ(file.info("y"), (SafetensorsInfo{"y", "F64", {2, 5, 4}}));
  const Tensor y = read_tensor(file, "y");
  for (std::int64_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(y.data<double>()[i], expected_y(i / 20, i / 4 % 5, i % 4), 1e-14) << i;
  }
  EXPECT_EQ(file.metadata().at("layer"), "base_conv");
  EXPECT_EQ(nlohmann::json::parse(file.metadata().at("options"))["conv_kernel"], 3);
}

TEST_F(Forward, GradientsAreDifferences) {
  ASSERT_EQ(forward({"--grad", "--dtype", "f64", "--chunks", "2,1,2"}).exit_code, 0);
  const SafetensorsFile file(output_);
  EXPECT_THAT(names(file), UnorderedElementsAre("y", "dx", "grad.conv.conv.weight", "grad.conv.conv.bias",
                                                "grad.projection.weight", "grad.projection.bias"));
  EXPECT_EQ(file.info("grad.conv.conv.weight"), (SafetensorsInfo{"grad.conv.conv.weight", "F64", {4, 1, 3}}));
  // d sum(y dy) / d projection.bias[i] = sum over the positions of (conv + b) dy, and y is linear in that bias: an
  // exact difference of two runs.
  const Tensor y = read_tensor(file, "y"), dy = named(inputs(), "dy");
  std::vector<NamedTensor> moved = weights();
  moved[3].second.data<float>()[2] += 1;
  write_tensors(weights_, moved);
  const Tensor gradient = read_tensor(file, "grad.projection.bias");
  ASSERT_EQ(forward({"--dtype", "f64"}).exit_code, 0);
  const Tensor moved_y = read_tensor(SafetensorsFile(output_), "y");
  double difference = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    difference += (moved_y.data<double>()[i] - y.data<double>()[i]) * dy.data<double>()[i];
  }
  // The moved bias is a float32 number, rounded to 2^-24.
  EXPECT_NEAR(gradient.data<double>()[2], difference, 1e-6);
}

TEST_F(Forward, ChunksDoNotMatter) {
  ASSERT_EQ(forward({"--grad", "--dtype", "f64"}).exit_code, 0);
  const std::vector<NamedTensor> whole = read_tensors(SafetensorsFile(output_));
  for (const std::string chunks : {"5", "1,1,1,1,1", "4,1", " 1 , 4"}) {
    ASSERT_EQ(forward({"--grad", "--dtype", "f64", "--chunks", chunks}).exit_code, 0) << chunks;
    for (const auto& [name, tensor] : read_tensors(SafetensorsFile(output_))) {
      const Tensor expected = named(whole, name);
      ASSERT_EQ(tensor.shape(), expected.shape());
      for (std::int64_t i = 0; i < tensor.size(); ++i) {
        EXPECT_NEAR(tensor.data<double>()[i], expected.data<double>()[i], 1e-13) << name << ", chunks " << chunks;
      }
    }
  }
}

TEST_F(Forward, ComputesInOnePrecisionWhateverTheFilesHold) {
  ASSERT_EQ(forward().exit_code, 0);
  const Tensor y = read_tensor(SafetensorsFile(output_), "y");
  EXPECT_EQ(y.dtype(), DType::f32);
  std::vector<NamedTensor> wide = inputs();
  for (auto& [name, tensor] : wide) tensor = tensor.to(DType::f64);
  write_tensors(input_, wide);
  wide = weights();
  for (auto& [name, tensor] : wide) tensor = tensor.to(DType::f64);
  write_tensors(weights_, wide);
  ASSERT_EQ(forward({"--dtype", "f32"}).exit_code, 0);
  const Tensor again = read_tensor(SafetensorsFile(output_), "y");
  EXPECT_THAT(again.values<float>(), testing::ElementsAreArray(y.values<float>()));
}

TEST_F(Forward, NumbersThatAreNotFiniteAreNumbers) {
  std::vector<NamedTensor> wild = inputs();
  wild[0].second.data<float>()[1 * 20 + 2 * 4 + 1] = std::numeric_limits<float>::infinity();
  wild[0].second.data<float>()[1 * 20 + 4 * 4 + 0] = std::numeric_limits<float>::quiet_NaN();
  write_tensors(input_, wild);
  const ProcessResult result = forward({"--grad"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const Tensor y = read_tensor(SafetensorsFile(output_), "y");
  EXPECT_TRUE(std::isnan(y.data<float>()[20 + 16]));
  // Neither the other sequence nor what came before notices.
  for (std::int64_t i = 0; i < 20 + 8; ++i) {
    EXPECT_NEAR(y.data<float>()[i], expected_y(i / 20, i / 4 % 5, i % 4), 1e-5) << i;
  }
}

TEST_F(Forward, TakesFeedForwardsAndPlugins) {
  write_tensors(weights_, std::vector<NamedTensor>{{"gate_proj.weight", some_values({6, 4}, 1)},
                                                   {"up_proj.weight", some_values({6, 4}, 2)},
                                                   {"down_proj.weight", some_values({4, 6}, 3)}});
  const auto run_layer = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"forward", "--weights", weights_, "--input", input_, "--output", output_, "--grad"});
    return run_zoo(more);
  };
  ProcessResult result = run_layer({"--layer", "swiglu", "--option", "hidden=6"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_TRUE(SafetensorsFile(output_).has("grad.down_proj.weight"));

  write_tensors(weights_,
                std::vector<NamedTensor>{{"mu", Tensor::full({4}, 0.25)}, {"output.weight", some_values({4, 4}, 3)}});
  result = run_layer({"--layer", "token_shift", "--layer-option", "token_shift.shift=2", "--plugin",
                      std::string(ZOO_PLUGINS) + "/token_shift.so"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_TRUE(SafetensorsFile(output_).has("grad.mu"));
}

TEST_F(Forward, TellsEveryTensorThatDoesNotFit) {
  write_tensors(input_, std::vector<NamedTensor>{{"x", some_values({2, 5, 4}, 1)},
                                                 {"dy", some_values({2, 4, 4}, 2)},
                                                 {"mask", some_values({2, 5}, 2)}});
  write_tensors(weights_, std::vector<NamedTensor>{{"conv.conv.weight", some_values({4, 3}, 3)},
                                                   {"conv.conv.bais", some_values({4}, 4)},
                                                   {"projection.weight", Tensor::zeros({4, 4}, DType::i32)}});
  const ProcessResult result = forward({"--grad"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr("tensor 'dy' is [2, 4, 4]; expected the shape of x, [2, 5, 4]"),
                                  HasSubstr("unknown tensor 'mask' [2, 5]"),
                                  HasSubstr("tensor 'conv.conv.weight' is [4, 3]; expected [4, 1, 3]"),
                                  HasSubstr("unknown tensor 'conv.conv.bais' [4]; did you mean 'conv.conv.bias'?"),
                                  HasSubstr("there is no tensor 'conv.conv.bias'; expected [4]"),
                                  HasSubstr("tensor 'projection.weight' has dtype I32; expected F32, F64, F16 or BF16"),
                                  HasSubstr("there is no tensor 'projection.bias'; expected [4]")));
  EXPECT_THAT(result.error, AllOf(HasSubstr(input_), HasSubstr(weights_)));
  EXPECT_FALSE(std::filesystem::exists(output_));
}

TEST_F(Forward, RefusesInputsThatAreNoSequence) {
  const auto expect_input = [&](const std::vector<NamedTensor>& tensors, const std::string& words) {
    write_tensors(input_, tensors);
    expect_refused(arguments({"--grad"}), words);
  };
  const Tensor dy = some_values({2, 5, 4}, 2);
  expect_input({{"dy", dy}}, "there is no tensor 'x'");
  expect_input({{"x", some_values({5, 4}, 1)}, {"dy", dy}}, "tensor 'x' is [5, 4]; expected [B, T, d_model]");
  expect_input({{"x", some_values({2, 5, 2, 2}, 1)}, {"dy", dy}}, "tensor 'x' is [2, 5, 2, 2]");
  expect_input({{"x", Tensor::zeros({0, 5, 4})}, {"dy", Tensor::zeros({0, 5, 4})}}, "[0, 5, 4]; expected");
  expect_input({{"x", Tensor::zeros({2, 0, 4})}, {"dy", Tensor::zeros({2, 0, 4})}}, "none of them 0");
  expect_input({{"x", Tensor::zeros({2, 5, 4}, DType::i32)}, {"dy", dy}}, "tensor 'x' has dtype I32");
  expect_input({{"x", dy}}, "there is no tensor 'dy'");
  write_file(input_, "");
  expect_refused(arguments(), input_);
  write_file(input_, std::string(100, '\xff'));
  expect_refused(arguments(), input_);
  std::filesystem::remove(input_);
  expect_refused(arguments(), "No such file");
}

TEST_F(Forward, WrongUsage) {
  const auto expect_option = [&](const std::vector<std::string>& more, const std::string& words) {
    expect_refused(arguments(more), words);
  };
  expect_option({"--chunks", "2,2"}, "--chunks 2,2 does not add up to the length of x, 5");
  expect_option({"--chunks", "5,1"}, "does not add up");
  expect_option({"--chunks", "2,0,3"}, "it must be at least 1");
  expect_option({"--chunks", "2,,3"}, "not a whole number");
  expect_option({"--chunks", ""}, "--chunks");
  expect_option({"--chunks", "9223372036854775807,9223372036854775807,7"}, "does not add up");
  expect_option({"--chunks", "-1,6"}, "at least 1");
  expect_option({"--dtype", "f16"}, "--dtype is 'f16'; it must be f32 or f64");
  expect_option({"--max-length", "4"}, "--max-length is 4, but x has 5 positions");
  expect_option({"--option", "conv_kernel=0"}, "conv_kernel is 0");
  expect_option({"--option", "conv_kernel"}, "is not an assignment");
  expect_option({"--option", "kernel=3"}, "kernel");
  expect_option({"--option", "conv_kernel=3", "--option", "conv_kernel=3"}, "sets conv_kernel twice");
  expect_option({"--option", "conv_kernel=3", "--layer-option", "base_conv.conv_kernel=4"}, "say it once");
  expect_option({"--layer-option", "attention.heads=2"}, "not among those asked for");
  expect_option({"--layer-option", "conv_kernel=3"}, "names no layer");
  expect_option({"--layer", "attention"}, "more than once");
  expect_option({"--grda"}, "did you mean '--grad'");
  expect_option({"extra"}, "takes options only");
  // A kernel of another length wants other weights.
  expect_option({"--option", "conv_kernel=4"}, "expected [4, 1, 4]");

  expect_refused({"forward"}, "--layer is missing");
  expect_refused({"forward", "--layer", "base_conv", "--weights", weights_, "--output", output_}, "--input is missing");
  for (const auto& [name, words] : {std::pair{"base_cnov", "did you mean 'base_conv'"},
                                    std::pair{"base_conv+attention", "is a hybrid of several layers"}}) {
    expect_refused({"forward", "--layer", name, "--weights", weights_, "--input", input_, "--output", output_}, words);
  }
}

TEST_F(Forward, WhatCannotBeWrittenLeavesWhatWasThere) {
  if (thread_sanitizer) GTEST_SKIP() << "ThreadSanitizer does not run where files must not grow";
  write_file(output_, "old");
  // A limit on the size of files (in blocks of 512 bytes) stands for the end of the disk.
  const ProcessResult result = run_process(
      {.arguments = {"/bin/sh", "-c",
                     "trap '' XFSZ; ulimit -f 1; exec \"$0\" forward --layer base_conv --grad --weights \"$1\" --input "
                     "\"$2\" --output \"$3\"",
                     ZOO_COMMAND, weights_, input_, output_}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.error, HasSubstr("cannot write '" + output_ + "': File too large"));
  EXPECT_EQ(read_file(output_), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 3);

  for (const std::string& path : {std::string("/dev/full"), folder_ / "missing/out", folder_.path().string()}) {
    const ProcessResult failed =
        run_zoo({"forward", "--layer", "base_conv", "--weights", weights_, "--input", input_, "--output", path});
    EXPECT_EQ(failed.exit_code, 1) << path;
    EXPECT_THAT(failed.error, HasSubstr("cannot write '" + path + "'"));
  }
}

TEST_F(Forward, TheLongestLengthIsTheInputsUnlessGiven) {
  // The implicit filter of base_conv is stretched over the longest length.
  write_tensors(weights_, std::vector<NamedTensor>{{"conv.filter_mlp.0.weight", some_values({16, 3}, 1)},
                                                   {"conv.filter_mlp.0.bias", some_values({16}, 2)},
                                                   {"conv.filter_mlp.2.weight", some_values({4, 16}, 3)},
                                                   {"conv.filter_mlp.2.bias", some_values({4}, 4)},
                                                   {"projection.weight", some_values({4, 4}, 5)},
                                                   {"projection.bias", some_values({4}, 6)}});
  const auto y = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = {"--option", "conv_kernel=-1"};
    all.insert(all.end(), more.begin(), more.end());
    const ProcessResult result = forward(all);
    EXPECT_EQ(result.exit_code, 0) << result.error;
    const Tensor values = read_tensor(SafetensorsFile(output_), "y");
    return std::vector<float>(values.values<float>().begin(), values.values<float>().end());
  };
  EXPECT_EQ(y({}), y({"--max-length", "5"}));
  EXPECT_NE(y({}), y({"--max-length", "50"}));
}

TEST(ForwardHelp, TellsTheOptions) {
  const ProcessResult result = run_zoo({"forward", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, AllOf(HasSubstr("Usage: zoo forward"), HasSubstr("--chunks"), Not(HasSubstr("error"))));
}

}  // namespace
}  // namespace zoo::test
