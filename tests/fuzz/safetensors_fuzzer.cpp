// libFuzzer on the safetensors reader: an input is a file. Nothing but UsageError may come of it, and a file that can
// be read is the same after it was written and read again. Built with -D ZOO_FUZZ=ON by clang; run as
//
//     zoo_safetensors_fuzzer -max_total_time=600 FOLDER_OF_INPUTS

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/io/tensor_file.h"

namespace {

namespace fs = std::filesystem;

fs::path path(const char* name) {
  return fs::temp_directory_path() / ("zoo-safetensors-fuzzer-" + std::to_string(::getpid()) + name);
}

bool equal(const std::vector<zoo::NamedTensor>& a, const std::vector<zoo::NamedTensor>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    bool found = false;
    for (const auto& [other_name, other] : b) {
      if (name != other_name) continue;
      found = tensor.dtype() == other.dtype() && tensor.shape() == other.shape() &&
              std::memcmp(tensor.raw(), other.raw(), tensor.bytes()) == 0;
    }
    if (!found) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::ofstream(path("-in"), std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<long>(size));
  try {
    const zoo::SafetensorsFile file(path("-in"));
    for (const zoo::SafetensorsInfo& info : file.tensors()) {
      if (file.read(info.name).size() != file.bytes(info.name)) std::abort();
    }
    const std::vector<zoo::NamedTensor> tensors = zoo::read_tensors(file);
    zoo::write_tensors(path("-out"), tensors);
    if (!equal(tensors, zoo::read_tensors(zoo::SafetensorsFile(path("-out"))))) std::abort();
  } catch (const zoo::UsageError&) {
  }
  return 0;
}
