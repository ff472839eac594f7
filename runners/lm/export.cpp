#include <fmt/format.h>

#include <optional>
#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/lm/lm.h"
#include "zoo/core/error.h"
#include "zoo/lm/checkpoint.h"
#include "zoo/lm/pretrained.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

po::options_description named_options() {
  po::options_description options;
  options.add_options()                                                      //
      ("from", po::value<std::string>(), "folder with the model")            //
      ("out", po::value<std::string>(), "folder to write, made if need be")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text << "Write a language model as a public checkpoint: config.json and model.safetensors, as transformers'\n"
          "from_pretrained reads them.\n\n"
          "Usage: zoo lm export --from DIR --out DIR\n\n"
       << named_options()
       << "\nFormats: llama, mamba, mamba2, rwkv (RWKV-4), ttt (its authors' release); the model decides which.\n\n"
          "Exit code: 0 done, 1 the folder cannot be written, 2 wrong usage, or a model that no format can hold.\n";
  return text.str();
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm export", named_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", help());
    return 0;
  }
  const auto text = [&](const char* name) {
    if (!values.contains(name) || values[name].as<std::string>().empty()) {
      throw UsageError("zoo lm export: --{} is missing; it needs --from and --out", name);
    }
    return values[name].as<std::string>();
  };
  const std::string from = text("from"), out = text("out");
  const LoadedLm loaded = load_lm(from);
  export_pretrained(loaded.spec, loaded.model, out);
  return 0;
}

const RegisterLm command({.name = "export", .help = "write a model as a public checkpoint", .run = run});

}  // namespace
}  // namespace zoo
