// The kernels that the other tests run on the host executor are also CUDA. Where there is a toolkit, the build has nvcc
// compile them and links the command with them (cuda/CMakeLists.txt); these tests read what the compilers said.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace zoo::gpu {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view objects_list = ZOO_CUDA_OBJECTS;
constexpr const char* no_toolkit = "the build found no CUDA Toolkit: kernels ran on the host executor only";

std::string text_of(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Every file with kernels: those of zoo, its examples', and these tests'.
std::vector<std::filesystem::path> kernel_files() {
  std::vector<std::filesystem::path> files;
  for (const char* folder : {"zoo/gpu", "zoo/gpu/examples", "tests/gpu"}) {
    for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(ZOO_SOURCE_FOLDER) / folder)) {
      if (file.path().extension() != ".cu") continue;
      const std::string text = text_of(file);
      const bool has_kernels =
          text.find("__global__") != std::string::npos || text.find("launch_each(") != std::string::npos;
      if (has_kernels) files.push_back(file.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

std::vector<std::filesystem::path> objects() {
  std::vector<std::filesystem::path> paths;
  std::ifstream list{std::string(objects_list)};
  for (std::string line; std::getline(list, line);) paths.emplace_back(line);
  return paths;
}

// The object of a source file. The build keeps its folder's name where that is below zoo/gpu.
std::filesystem::path object_of(const std::filesystem::path& source) {
  const std::string name = source.filename().string() + ".o";
  const bool example = source.parent_path().filename() == "examples";
  for (const std::filesystem::path& object : objects()) {
    if (object.filename() == name && (object.parent_path().filename() == "examples") == example) return object;
  }
  return {};
}

std::string log_of(const std::filesystem::path& object) {
  return text_of(object.string() + ".log");
}

// What nvcc made for ptxas, of all architectures.
std::string ptx_of(const std::filesystem::path& object) {
  std::string ptx;
  for (const auto& file : std::filesystem::directory_iterator(object.string() + ".keep")) ptx += text_of(file);
  return ptx;
}

class Nvcc : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Nvcc, CompilesWithoutWarningsAndSpills) {
  if (objects_list.empty()) GTEST_SKIP() << no_toolkit;
  const std::filesystem::path source = GetParam(), object = object_of(source);
  ASSERT_TRUE(std::filesystem::exists(object)) << source << " was not compiled";
  const std::string log = log_of(object);
  EXPECT_THAT(log, HasSubstr(" 0 bytes spill stores"));
  EXPECT_THAT(log, AllOf(HasSubstr("for 'sm_80'"), HasSubstr("for 'sm_90'")));
  EXPECT_THAT(log, Not(testing::ContainsRegex("[1-9][0-9]* bytes spill")));
  // The tiled matmul among the families is the host executor's: a GPU has cuBLAS.
  const auto named = [&](const char* family) { return source.string().find(family) != std::string::npos; };
  if (named("examples/matmul") || named("attention") || named("linear_recurrence") || named("fast_weights") ||
      named("delta_rule")) {
    EXPECT_THAT(log, Not(testing::ContainsRegex("[1-9][0-9]* bytes stack")))
        << "an array of tiles is not in registers: its loop was not unrolled";
    const std::string ptx = ptx_of(object);
    EXPECT_THAT(ptx, HasSubstr("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"));
    EXPECT_THAT(ptx, HasSubstr("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"));
    EXPECT_THAT(ptx, HasSubstr("cp.async.cg.shared.global"));
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Nvcc, testing::ValuesIn(kernel_files()), [](const auto& source) {
  return source.param.parent_path().filename().string() + "_" + source.param.stem().string();
});

TEST(Cuda, NothingCompiledForItHasWarnings) {
  if (objects_list.empty()) GTEST_SKIP() << no_toolkit;
  EXPECT_GE(objects().size(), kernel_files().size());
  for (const std::filesystem::path& object : objects()) {
    ASSERT_TRUE(std::filesystem::exists(object.string() + ".log")) << object;
    EXPECT_THAT(log_of(object), Not(HasSubstr("warning"))) << object;
  }
}

// Where a GPU can be had the same command runs on it.
TEST(Cuda, TheCommandIsLinkedAndSaysWhatIsMissing) {
  if (objects_list.empty()) GTEST_SKIP() << no_toolkit;
  FILE* pipe =
      popen(ZOO_CUDA_COMMAND " bench layers --model-only --device gpu --layers attention --seq-len 64 2>&1", "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> part = {};
  while (const std::size_t count = fread(part.data(), 1, part.size(), pipe)) output.append(part.data(), count);
  const int status = pclose(pipe);
  if (status == 0) return;
  EXPECT_EQ(WEXITSTATUS(status), 2) << output;
  EXPECT_THAT(output, AnyOf(HasSubstr("driver"), HasSubstr("no CUDA-capable device")));
}

}  // namespace
}  // namespace zoo::gpu
