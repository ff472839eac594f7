#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "runners/arguments.h"
#include "runners/command.h"
#include "runners/new_layer_files.h"
#include "zoo/core/error.h"
#include "zoo/core/registrar.h"
#include "zoo/io/atomic_file.h"
#include "zoo/nn/layer.h"

namespace zoo {
namespace {

namespace po = boost::program_options;
namespace fs = std::filesystem;

/// The names that the files in runners/new_layer have.
constexpr std::string_view template_name = "shifted_keys";
constexpr std::string_view template_class = "ShiftedKeys";

struct Request {
  std::string name;
  fs::path folder;
};

po::options_description named_options() {
  po::options_description options;
  options.add_options()                                                 //
      ("dir", po::value<std::string>(), "the folder to make (./NAME)")  //
      ("help", po::bool_switch(), "this text");
  return options;
}

std::string help() {
  std::ostringstream text;
  text
      << "Write a plugin with a small layer that works, to be changed into yours.\n\n"
         "Usage: zoo new-layer NAME [--dir PATH]\n\n"
      << named_options()
      << "\nThe folder, which must not be there yet, gets NAME.cpp (the layer), CMakeLists.txt (which finds this zoo)\n"
         "and README.md (the three commands: build, zoo check, zoo recall). NAME is 1 to 64 of a-z, 0-9 and _.\n\n"
         "Exit code: 0 done, 1 it cannot be written, 2 wrong usage.\n";
  return text.str();
}

/// Refuses what could not be registered, or built under that name.
void check_name(const std::string& name) {
  check_entry_name("layer", name);
  for (const Registry<LayerEntry>* registry : {&layer_registry(), &feed_forward_registry()}) {
    if (registry->find(name) != nullptr) {
      throw UsageError("there is a layer '{}' already (zoo layers {} describes it); give yours another name", name,
                       name);
    }
  }
  // Targets that CMake makes itself, and words that commands read in the place of a layer.
  constexpr std::array kept = {"all",  "clean",   "edit_cache",    "help", "install",
                               "none", "package", "rebuild_cache", "test", "zoo"};
  if (std::ranges::find(kept, name) != kept.end()) {
    throw UsageError("'{}' has a meaning of its own to CMake or to zoo; give your layer another name", name);
  }
}

std::optional<Request> parse(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo new-layer", named_options(), arguments, "name");
  if (values["help"].as<bool>()) return std::nullopt;
  const auto names =
      values.contains("name") ? values["name"].as<std::vector<std::string>>() : std::vector<std::string>{};
  if (names.size() != 1) {
    throw UsageError("zoo new-layer takes one name, the new layer's{}\n\n{}",
                     names.empty() ? "" : fmt::format("; it was given {}", fmt::join(names, " ")), help());
  }
  check_name(names[0]);
  Request request{.name = names[0], .folder = names[0]};
  if (values.contains("dir")) request.folder = values["dir"].as<std::string>();
  if (request.folder.empty()) throw UsageError("--dir is empty; give the folder to make");
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(request.folder, ignored))) {
    throw UsageError("'{}' is there already, and nothing is written over it; give a folder to make: --dir {}",
                     request.folder.string(), (request.folder / request.name).string());
  }
  return request;
}

bool is_word(char letter) {
  return std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_';
}

/// Puts `to` in the place of the word `from`, wherever it stands alone.
std::string replace_word(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  while (true) {
    const auto at = text.find(from);
    if (at == std::string_view::npos) return result.append(text);
    const auto end = at + from.size();
    const bool alone = (at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]));
    result.append(text.substr(0, at)).append(alone ? to : from);
    text.remove_prefix(end);
  }
}

/// The class of a layer: "moving_average" is MovingAverage, unless the source uses that word for something else (Layer,
/// State).
std::string class_name(std::string_view name) {
  std::string result;
  bool begins = true;
  for (const char letter : name) {
    if (letter != '_') result += begins ? static_cast<char>(std::toupper(static_cast<unsigned char>(letter))) : letter;
    begins = letter == '_';
  }
  if (result.empty() || std::isdigit(static_cast<unsigned char>(result[0])) != 0) result.insert(0, "Layer");
  while (result != template_class && replace_word(new_layer_files::source, result, "") != new_layer_files::source) {
    result += "Layer";
  }
  return result;
}

/// Where find_package() finds the zoo that is running: its installation, or the folder in which it was built.
fs::path package_hint() {
  const fs::path folder = fs::canonical("/proc/self/exe").parent_path();
  return folder.filename() == "bin" ? folder.parent_path() : folder;
}

void write_files(const Request& request) {
  const auto renamed = [&](std::string_view text) {
    return replace_word(replace_word(text, template_name, request.name), template_class, class_name(request.name));
  };
  const std::string build =
      replace_word(renamed(new_layer_files::build), "find_package(zoo REQUIRED)",
                   fmt::format("find_package(zoo REQUIRED HINTS [==[{}]==])", package_hint().string()));
  write_file_atomically(request.folder / (request.name + ".cpp"), renamed(new_layer_files::source));
  write_file_atomically(request.folder / "CMakeLists.txt", build);
  write_file_atomically(request.folder / "README.md", renamed(new_layer_files::readme));
}

void write_folder(const Request& request) {
  std::error_code error;
  if (const fs::path parent = request.folder.parent_path(); !parent.empty()) fs::create_directories(parent, error);
  if (error || !fs::create_directory(request.folder, error)) {
    throw Error("cannot make the folder '{}': {}", request.folder.string(),
                error ? error.message() : "it has just been made by another");
  }
  try {
    write_files(request);
  } catch (...) {
    fs::remove_all(request.folder, error);
    throw;
  }
}

int run(std::span<const std::string> arguments) {
  const std::optional<Request> request = parse(arguments);
  if (!request) {
    fmt::print("{}", help());
    return 0;
  }
  write_folder(*request);
  fmt::print("wrote {}: {}.cpp is the layer; README.md has the commands that build, check and compare it\n",
             request->folder.string(), request->name);
  return 0;
}

const RegisterCommand command({.name = "new-layer", .help = "write a plugin with a layer of your own", .run = run});

}  // namespace
}  // namespace zoo
