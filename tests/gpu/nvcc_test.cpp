// The kernels that the other tests run on the host executor are also CUDA: nvcc compiles them, where there is one.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/temporary_directory.h"

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

// Every file with kernels: those of zoo, its examples', and these tests'.
std::vector<std::string> kernel_files() {
  std::vector<std::string> files;
  for (const char* folder : {"zoo/gpu", "zoo/gpu/examples", "tests/gpu"}) {
    for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(ZOO_SOURCE_FOLDER) / folder)) {
      if (file.path().extension() != ".cu") continue;
      std::stringstream text;
      text << std::ifstream(file.path()).rdbuf();
      const bool has_kernels =
          text.str().find("__global__") != std::string::npos || text.str().find("launch_each(") != std::string::npos;
      if (has_kernels) files.push_back(file.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Nvcc : public testing::TestWithParam<std::string> {};

TEST_P(Nvcc, CompilesWithoutWarningsAndSpills) {
  const std::string nvcc = ZOO_NVCC;
  if (!std::filesystem::exists(nvcc)) GTEST_SKIP() << "there is no nvcc here: kernels ran on the host executor only";
  const std::string source = GetParam();
  const test::TemporaryDirectory folder;
  const Result result =
      run(nvcc +
          " -std=c++20 -O3 -fmad=false -DFMT_USE_CONSTEXPR=1 -gencode=arch=compute_80,code=sm_80"
          " -gencode=arch=compute_90,code=sm_90 -Xptxas=-v --keep --keep-dir=" +
          folder.path().string() + " -fatbin -I" ZOO_SOURCE_FOLDER " -o " + folder / "kernel.fatbin" + " " + source);
  std::stringstream ptx;
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    if (file.path().extension() == ".ptx") ptx << std::ifstream(file.path()).rdbuf();
  }
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("warning")));
  EXPECT_THAT(result.output, HasSubstr(" 0 bytes spill stores"));
  EXPECT_THAT(result.output, AllOf(HasSubstr("for 'sm_80'"), HasSubstr("for 'sm_90'")));
  EXPECT_THAT(result.output, Not(testing::ContainsRegex("[1-9][0-9]* bytes spill")));
  // The tiled matmul among the families is the host executor's: a GPU has cuBLAS.
  const auto named = [&](const char* family) { return source.find(family) != std::string::npos; };
  if (named("examples/matmul") || named("attention") || named("linear_recurrence") || named("fast_weights") ||
      named("delta_rule")) {
    EXPECT_THAT(result.output, Not(testing::ContainsRegex("[1-9][0-9]* bytes stack")))
        << "an array of tiles is not in registers: its loop was not unrolled";
    EXPECT_THAT(ptx.str(), HasSubstr("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"));
    EXPECT_THAT(ptx.str(), HasSubstr("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"));
    EXPECT_THAT(ptx.str(), HasSubstr("cp.async.cg.shared.global"));
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Nvcc, testing::ValuesIn(kernel_files()), [](const auto& source) {
  const std::filesystem::path path = source.param;
  return path.parent_path().filename().string() + "_" + path.stem().string();
});

}  // namespace
}  // namespace zoo::gpu
