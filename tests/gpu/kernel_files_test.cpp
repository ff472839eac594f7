// What kernels of zoo must not use, though the compilers take it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace zoo::gpu {
namespace {

TEST(KernelFiles, UseSharedMemoryAndLaunchByTheHelpersAndNoPtx) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(ZOO_SOURCE_FOLDER) + "/zoo")) {
    if (entry.path().extension() != ".cu") continue;
    ++files;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    for (const char* word : {"__shared__", "<<<", "asm(", "asm volatile"})
      EXPECT_EQ(text.str().find(word), std::string::npos) << entry.path() << " has " << word;
  }
  EXPECT_GE(files, 3);
}

}  // namespace
}  // namespace zoo::gpu
