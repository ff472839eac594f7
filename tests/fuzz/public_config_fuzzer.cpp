// libFuzzer on the config.json of public checkpoints: an input is the file. Nothing but UsageError may come of it,
// whatever setting is asked for. Built with -D ZOO_FUZZ=ON by clang; run as
//
//     zoo_public_config_fuzzer -max_total_time=600 FOLDER_OF_INPUTS

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "zoo/core/error.h"
#include "zoo/lm/public_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("zoo-config-fuzzer-" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<long>(size));
  try {
    zoo::PublicConfig config(path);
    for (const char* name : {"hidden_size", "num_hidden_layers", "vocab_size", "rope_theta", "hidden_act"}) {
      config.integer(name, 1, {1, 1 << 24});
      config.real(name, 1, {0, 1e12});
      config.flag(name, false);
      config.text(name, "");
      config.require_text(name, "silu", {"silu"});
    }
    config.rope_theta();
    config.require_no_problems();
  } catch (const zoo::UsageError&) {
  }
  return 0;
}
