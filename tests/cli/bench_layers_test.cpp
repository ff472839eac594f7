#include <gmock/gmock.h>

#include <set>

#include "tests/cli/command.h"
#include "zoo/core/device.h"

namespace zoo::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> small_bench(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"bench",        "layers", "--d-model", "8", "--seq-len", "16,32",
                                        "--batch-size", "3",      "--seconds", "0", "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(BenchLayers, JsonHasEveryFigure) {
  const ProcessResult result = run_zoo(small_bench({"--layers", "linear_attention,attention,mlp", "--layer-option",
                                                    "attention.heads=2", "--positions", "5,40", "--json"}));
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.error, AllOf(HasSubstr("[1/3] linear_attention, T 16"), HasSubstr("[3/3] mlp, a token at 40")));
  const json report = json::parse(result.output);
  EXPECT_EQ(report["batch_size"], 3);
  EXPECT_GT(report["sgemm_gflops"].get<double>(), 0);
  ASSERT_EQ(report["layers"].size(), 3U);
  const json& linear = report["layers"][0];
  EXPECT_EQ(linear["name"], "linear_attention");
  EXPECT_EQ(linear["parameters"], 4 * 8 * 8);
  EXPECT_EQ(report["layers"][1]["options"]["heads"], 2);
  for (const json& layer : report["layers"]) {
    ASSERT_EQ(layer["lengths"].size(), 2U);
    for (const json& one : layer["lengths"]) {
      EXPECT_EQ(one["input_bytes"], 3 * one["seq_len"].get<int>() * 8 * 4);
      for (const char* name : {"forward_seconds", "forward_backward_seconds", "prefill_seconds"}) {
        EXPECT_GT(one[name]["min"].get<double>(), 0) << name;
        EXPECT_LE(one[name]["min"], one[name]["median"]) << name;
      }
      EXPECT_GT(one["forward_backward_flops"], one["forward_flops"]);
      EXPECT_NEAR(one["gflops"].get<double>() / report["sgemm_gflops"].get<double>(), one["sgemm_share"].get<double>(),
                  1e-9);
      // The output and the gradients of x and of the parameters are there at the end, at least.
      EXPECT_GE(one["peak_bytes"], 2 * one["input_bytes"].get<int>() + 4 * layer["parameters"].get<int>());
      EXPECT_NEAR(one["peak_over_input"].get<double>() * one["input_bytes"].get<double>(),
                  one["peak_bytes"].get<double>(), 1e-3);
    }
    ASSERT_EQ(layer["decoding"].size(), 2U);
    EXPECT_EQ(layer["decoding"][1]["position"], 40);
  }
  // The state [1, 8, 8] of linear attention does not grow, attention's list of keys and values does.
  EXPECT_EQ(linear["lengths"][1]["state_bytes"], 8 * 8 * 4);
  EXPECT_EQ(linear["decoding"][1]["state_bytes"], 8 * 8 * 4);
  EXPECT_EQ(report["layers"][1]["lengths"][1]["state_bytes"], 2 * 32 * 8 * 4);
  // Four projections, and backward twice as much again.
  const double projections = 3 * 4 * 2.0 * (3 * 16) * 8 * 8;
  EXPECT_GT(linear["lengths"][0]["forward_backward_flops"].get<double>(), projections);
}

TEST(BenchLayers, DecodesFarAwayWhereTheStateIsConstant) {
  const ProcessResult result = run_zoo(small_bench({"--layers", "base_conv,attention"}));
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(
      result.output,
      AllOf(testing::ContainsRegex("base_conv +100 "), testing::ContainsRegex("base_conv +100000 "),
            testing::ContainsRegex("attention +100 "), testing::Not(testing::ContainsRegex("attention +100000 "))));
  EXPECT_THAT(result.output, HasSubstr("large matrix products reach"));
}

TEST(BenchLayers, WritesAPageAndItsNumbers) {
  const TemporaryDirectory folder;
  const ProcessResult result =
      run_zoo(small_bench({"--layers", "base_conv", "--positions", "0", "--json", "--out", folder / "new/bench"}));
  ASSERT_EQ(result.exit_code, 0) << result.error;
  EXPECT_EQ(read_file(folder / "new/bench/layers.json"), result.output);
  const std::string page = read_file(folder / "new/bench/layers.html");
  EXPECT_THAT(page, AllOf(HasSubstr("<!DOCTYPE html>"), HasSubstr("microseconds per token"), HasSubstr("base_conv"),
                          HasSubstr("</html>")));
  std::size_t plots = 0;
  for (std::size_t at = page.find("<svg viewBox=\"0 0 400"); at != std::string::npos;
       at = page.find("<svg viewBox=\"0 0 400", at + 1))
    ++plots;
  EXPECT_EQ(plots, 5U);
  EXPECT_THAT(page, testing::Not(testing::ContainsRegex("(src|href)=\"http")));
}

TEST(BenchLayers, RefusesWhatItCannotMeasure) {
  const auto expect_refused = [](const std::vector<std::string>& arguments, const std::string& words, int code = 2) {
    std::vector<std::string> all = {"bench", "layers"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const ProcessResult result = run_zoo(all);
    EXPECT_EQ(result.exit_code, code) << words;
    EXPECT_THAT(result.output, IsEmpty()) << words;
    EXPECT_THAT(result.error, HasSubstr(words));
  };
  expect_refused({"--layers", "atention"}, "did you mean 'attention'");
  expect_refused({"--layers", "attention,attention"}, "attention");
  expect_refused({"--layers", "base_conv+attention"}, "is a hybrid");
  expect_refused({"--layers", "attention", "--layer-option", "mlp.expand=2"}, "not among those asked for");
  expect_refused({"--layers", "attention", "--option", "heads=3"}, "not divisible by heads 3");
  expect_refused({"--layers", "base_conv,attention", "--option", "heads=2"}, "--option is for one layer");
  expect_refused({"--seq-len", "0"}, "--seq-len");
  expect_refused({"--seq-len", "1e3"}, "not a whole number");
  expect_refused({"--seq-len", "256,256"}, "256");
  expect_refused({"--seq-len", "99999999999"}, "it must be at most");
  expect_refused({"--seq-len", "1000000000", "--batch-size", "1000000"}, "this machine has");
  expect_refused({"--d-model", "0"}, "--d-model");
  expect_refused({"--d-model", "2000000"}, "it must be at most");
  expect_refused({"--batch-size", "-4"}, "--batch-size");
  expect_refused({"--positions", "-1"}, "--positions");
  expect_refused({"--seconds", "nan"}, "--seconds");
  expect_refused({"--seconds", "-1"}, "must not be negative");
  expect_refused({"--out", ""}, "--out is empty");
  expect_refused({"--layers", "base_conv", "--out", "/proc/bench"}, "cannot make the folder '/proc/bench'", 1);
  expect_refused({"--jsno"}, "did you mean '--json'");
  expect_refused({"attention"}, "takes options only");
}

TEST(BenchLayers, Help) {
  EXPECT_THAT(run_zoo({"bench", "--help"}).output, HasSubstr("  layers "));
  const ProcessResult result = run_zoo({"bench", "layers", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.output, AllOf(HasSubstr("--positions"), HasSubstr("Peak memory")));
}

TEST(BenchLayers, TheModelIsCalculatedFromWhatTheOpsDo) {
  const ProcessResult result =
      run_zoo({"bench", "layers", "--model-only", "--layers", "linear_attention,attention,rwkv4", "--d-model", "64",
               "--batch-size", "2", "--seq-len", "128", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const json model = json::parse(result.output);
  EXPECT_TRUE(model["calculated"]);
  ASSERT_EQ(model["layers"].size(), 3U);
  for (const json& layer : model["layers"]) {
    const std::string name = layer["name"];
    // The family's op, and how many tensors of x's size it reads and makes forward: q, k, v and y; wkv has no q. Wkv's
    // backward pass counts no products, and uses other ops besides its kernel.
    const auto [kernel, tensors] = name == "rwkv4"              ? std::pair("wkv", 3)
                                   : name == "linear_attention" ? std::pair("linear_recurrence", 4)
                                                                : std::pair("attention", 4);
    double products = 0;
    bool forward = false, backward = false;
    for (const json& op : layer["ops"]) {
      products += op["flops"].get<double>();
      backward |= op["name"] == kernel && op["pass"] == "backward" && op["bytes"] > 0;
      ASSERT_EQ(op["least"].size(), 2U);
      for (std::size_t i = 0; i < 2; ++i) {
        const json& device = model["devices"][i];
        const double memory = op["bytes"].get<double>() / device["memory_bytes_per_second"].get<double>();
        const double arithmetic = op["flops"].get<double>() / device["float32_flops_per_second"].get<double>();
        EXPECT_EQ(op["least"][i]["float32_seconds"], std::max(memory, arithmetic));
        EXPECT_EQ(op["least"][i]["binds"], memory >= arithmetic ? "memory" : "arithmetic");
      }
      if (op["name"] == kernel && op["pass"] == "forward") {
        forward = true;
        // And a state or a number a token.
        EXPECT_GE(op["bytes"], tensors * 2 * 128 * 64 * sizeof(float)) << name;
        EXPECT_LE(op["bytes"], (tensors + 1) * 2 * 128 * 64 * sizeof(float)) << name;
      }
    }
    EXPECT_TRUE(forward && backward) << name;
    EXPECT_GT(products, 3 * 4 * 2.0 * (2 * 128) * 64 * 64) << name << ": four projections, forward and backward";
  }
  EXPECT_THAT(result.output, Not(HasSubstr("\"shared_bytes\"")));
  const ProcessResult text = run_zoo({"bench", "layers", "--model-only", "--layers", "attention", "--seq-len", "64"});
  EXPECT_THAT(text.output,
              AllOf(HasSubstr("Calculated, not measured"), HasSubstr("attention, T 64"), HasSubstr("sum")));
  const ProcessResult wrong = run_zoo({"bench", "layers", "--model-only", "--seconds", "1"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.error, HasSubstr("leave out --seconds"));
}

// What is counted is held to what kernels do by tests/gpu/traffic; here, that it comes to the table.
TEST(BenchLayers, TheModelOfTheGpuHasSharedMemoryAsAnotherRoof) {
  if (!gpu_built) GTEST_SKIP() << "this build has no GPU";
  std::vector<std::string> arguments = {"bench",
                                        "layers",
                                        "--model-only",
                                        "--device",
                                        "gpu",
                                        "--layers",
                                        "attention,linear_attention,gla,mamba,delta_net,ttt_mlp",
                                        "--d-model",
                                        "256",
                                        "--batch-size",
                                        "2",
                                        "--seq-len",
                                        "128"};
  const ProcessResult text = run_zoo(arguments);
  EXPECT_THAT(text.output, AllOf(HasSubstr("H100 shared MB"), HasSubstr("Calculated, not measured")));
  arguments.push_back("--json");
  const ProcessResult result = run_zoo(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.error;
  const json model = json::parse(result.output);
  const json& rates = model["devices"];
  // 132 and 108 multiprocessors, 128 bytes a cycle of 1.98 and 1.41 GHz.
  EXPECT_NEAR(rates[0]["shared_bytes_per_second"].get<double>(), 33.45e12, 0.01e12);
  EXPECT_NEAR(rates[1]["shared_bytes_per_second"].get<double>(), 19.49e12, 0.01e12);
  const std::set<std::string> families_staged = {"attention",      "linear_recurrence", "gated_linear_recurrence",
                                                 "selective_scan", "delta_rule",        "fast_weights"};
  const std::set<std::string> staged_backward = {"causal_conv", "silu_causal_conv", "layer_norm", "rms_norm"};
  int families = 0, bound = 0;
  for (const json& layer : model["layers"]) {
    for (const json& op : layer["ops"]) {
      const std::string name = op["name"];
      const bool of_family = families_staged.contains(name);
      const bool stages = of_family || (op["pass"] == "backward" && staged_backward.contains(name));
      families += of_family ? 1 : 0;
      for (std::size_t i = 0; i < 2; ++i) {
        const json& least = op["least"][i];
        const double shared = least["shared_bytes"];
        EXPECT_EQ(shared > 0, stages) << name;
        EXPECT_EQ(least["shared_seconds"], shared / rates[i]["shared_bytes_per_second"].get<double>());
        const double memory = op["bytes"].get<double>() / rates[i]["memory_bytes_per_second"].get<double>();
        const double arithmetic = op["flops"].get<double>() / rates[i]["float32_flops_per_second"].get<double>();
        const double longest = std::max({memory, arithmetic, least["shared_seconds"].get<double>()});
        EXPECT_EQ(least["float32_seconds"], longest) << name;
        EXPECT_EQ(least["binds"] == "shared memory", longest > std::max(memory, arithmetic)) << name;
        bound += least["binds"] == "shared memory" ? 1 : 0;
        // An A100's block holds less of TTT-MLP's weights in shared memory.
        if (name == "fast_weights" && i == 1) {
          EXPECT_LT(shared, op["least"][0]["shared_bytes"].get<double>());
        }
      }
    }
  }
  EXPECT_EQ(families, 12) << "each forward and backward";
  EXPECT_GT(bound, 0);
}

}  // namespace
}  // namespace zoo::test
