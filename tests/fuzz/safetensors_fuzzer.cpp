// libFuzzer on the safetensors reader: an input is a file. Nothing but UsageError may come of it, and a file that can
// be read is the same after it was written and read again. Built with -D ZOO_FUZZ=ON by clang; run as
//
//     zoo_safetensors_fuzzer -max_total_time=600 FOLDER_OF_INPUTS

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/io/safetensors.h"

namespace {

namespace fs = std::filesystem;

fs::path path(const char* name) {
  return fs::temp_directory_path() / ("zoo-safetensors-fuzzer-" + std::to_string(::getpid()) + name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::ofstream(path("-in"), std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<long>(size));
  try {
    const zoo::SafetensorsFile file(path("-in"));
    std::vector<std::vector<std::byte>> values;
    std::vector<zoo::SafetensorsEntry> entries;
    for (const zoo::SafetensorsInfo& info : file.tensors()) values.push_back(file.read(info.name));
    for (std::size_t i = 0; i < values.size(); ++i) entries.push_back({file.tensors()[i], values[i]});
    zoo::write_safetensors(path("-out"), entries, file.metadata());
    const zoo::SafetensorsFile again(path("-out"));
    if (again.tensors().size() != values.size() || again.metadata() != file.metadata()) std::abort();
    for (const zoo::SafetensorsEntry& entry : entries) {
      const std::vector<std::byte> same = again.read(entry.info.name);
      if (!(again.info(entry.info.name) == entry.info) || !std::ranges::equal(same, entry.values)) std::abort();
    }
  } catch (const zoo::UsageError&) {
  }
  return 0;
}
