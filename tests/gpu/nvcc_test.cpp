// The kernels that the other tests run on the host executor are also CUDA: nvcc compiles them, where there is one.
#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

namespace zoo::gpu {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Result {
  int status = 0;
  std::string output = {};
};

Result run(const std::string& command) {
  Result result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "no shell"};
  std::array<char, 4096> part = {};
  while (const std::size_t count = fread(part.data(), 1, part.size(), pipe)) result.output.append(part.data(), count);
  result.status = pclose(pipe);
  return result;
}

class Nvcc : public testing::TestWithParam<const char*> {};

TEST_P(Nvcc, CompilesWithoutWarningsAndSpills) {
  const std::string nvcc = ZOO_NVCC;
  if (!std::filesystem::exists(nvcc)) GTEST_SKIP() << "there is no nvcc here: kernels ran on the host executor only";
  const std::string source = std::string(ZOO_SOURCE_FOLDER) + "/" + GetParam();
  const auto folder = std::filesystem::temp_directory_path() / ("zoo_nvcc_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const Result result = run(nvcc +
                            " -std=c++20 -O3 -fmad=false -DFMT_USE_CONSTEXPR=1 -gencode=arch=compute_80,code=sm_80"
                            " -gencode=arch=compute_90,code=sm_90 -Xptxas=-v --keep --keep-dir=" +
                            folder.string() + " -fatbin -I" ZOO_SOURCE_FOLDER " -o " +
                            (folder / "kernel.fatbin").string() + " " + source);
  std::stringstream ptx;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() == ".ptx") ptx << std::ifstream(file.path()).rdbuf();
  }
  std::filesystem::remove_all(folder);
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("warning")));
  EXPECT_THAT(result.output, HasSubstr(" 0 bytes spill stores"));
  EXPECT_THAT(result.output, AllOf(HasSubstr("for 'sm_80'"), HasSubstr("for 'sm_90'")));
  EXPECT_THAT(result.output, Not(testing::ContainsRegex("[1-9][0-9]* bytes spill")));
  const auto named = [&](const char* family) { return source.find(family) != std::string::npos; };
  if (named("matmul") || named("attention") || named("linear_recurrence")) {
    EXPECT_THAT(result.output, Not(testing::ContainsRegex("[1-9][0-9]* bytes stack")))
        << "an array of tiles is not in registers: its loop was not unrolled";
    EXPECT_THAT(ptx.str(), HasSubstr("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"));
    EXPECT_THAT(ptx.str(), HasSubstr("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"));
    EXPECT_THAT(ptx.str(), HasSubstr("cp.async.cg.shared.global"));
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Nvcc,
                         testing::Values("zoo/gpu/examples/rms_norm.cu", "zoo/gpu/examples/matmul.cu",
                                         "zoo/gpu/attention_forward.cu", "zoo/gpu/attention_backward.cu",
                                         "zoo/gpu/causal_conv.cu", "zoo/gpu/diagonal_scan.cu",
                                         "zoo/gpu/diagonal_scan_wkv.cu", "zoo/gpu/linear_recurrence_states.cu",
                                         "zoo/gpu/linear_recurrence_forward.cu",
                                         "zoo/gpu/linear_recurrence_backward.cu", "zoo/gpu/norm.cu",
                                         "zoo/gpu/cross_entropy.cu", "zoo/gpu/elementwise.cu", "tests/gpu/words.cu"),
                         [](const auto& source) { return std::filesystem::path(source.param).stem().string(); });

}  // namespace
}  // namespace zoo::gpu
