#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <ostream>

#include "tests/cli/command.h"
#include "zoo/core/registrar.h"

namespace zoo::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string plugins = ZOO_PLUGINS;

/// Refused with exit code 2, naming the file and the reason, with nothing on standard output; and zoo is none the
/// worse.
void expect_refused(const std::string& path, const std::string& reason, const CommandSettings& settings = {}) {
  const ProcessResult result = run_zoo({"layers", "--plugin", path}, settings);
  EXPECT_EQ(result.exit_code, 2) << result.error;
  EXPECT_EQ(result.signal, 0);
  EXPECT_THAT(result.error, AllOf(HasSubstr("zoo: plugin '" + path + "' "), HasSubstr(reason)));
  EXPECT_THAT(result.output, IsEmpty());
  EXPECT_EQ(run_zoo({"layers"}).exit_code, 0);
}

TEST(Plugin, SampleIsListedDescribedAndFoundFromAnotherDirectory) {
  const ProcessResult list = run_zoo({"--plugin", plugins + "/token_shift.so", "layers"});
  EXPECT_EQ(list.exit_code, 0) << list.error;
  EXPECT_THAT(list.output, HasSubstr("token_shift"));
  EXPECT_THAT(list.error, IsEmpty());
  EXPECT_THAT(run_zoo({"layers"}).output, Not(HasSubstr("token_shift")));

  const ProcessResult one =
      run_zoo({"layers", "token_shift", "--json", "--plugin=token_shift.so"}, {.directory = plugins});
  EXPECT_EQ(one.exit_code, 0) << one.error;
  EXPECT_EQ(nlohmann::json::parse(one.output)["options"][0]["name"], "shift");
}

TEST(Plugin, SeveralInOneCommand) {
  const ProcessResult result =
      run_zoo({"layers", "--plugin", plugins + "/token_shift.so", "--plugin", plugins + "/faulty.so"});
  EXPECT_EQ(result.exit_code, 0) << result.error;
  EXPECT_THAT(result.output, AllOf(HasSubstr("token_shift"), HasSubstr("faulty"), HasSubstr("second")));
}

TEST(Plugin, TheSameTwiceIsADuplicate) {
  const std::string path = plugins + "/token_shift.so";
  const ProcessResult result = run_zoo({"layers", "--plugin", path, "--plugin", path});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, AllOf(HasSubstr(path), HasSubstr("layer 'token_shift' is already registered")));
}

TEST(Plugin, WhatIsNotALibrary) {
  const TemporaryDirectory directory;
  write_file(directory / "text.so", "I am a text.\n");
  write_file(directory / "empty.so", "");
  ASSERT_EQ(::mkfifo((directory / "pipe.so").c_str(), 0600), 0);
  expect_refused(directory / "text.so", "is not a shared library");
  expect_refused(directory / "empty.so", "is not a shared library");
  expect_refused(directory / "pipe.so", "is not a shared library");
  expect_refused(directory.path().string(), "is not a shared library");
  expect_refused(directory / "missing.so", "cannot be opened: No such file or directory");
  expect_refused("", "cannot be opened");
  expect_refused("/dev/zero", "is not a shared library");
  expect_refused(plugins + "/not_a_plugin.so", "it has no stamp");
  expect_refused(ZOO_COMMAND, "cannot be loaded");
}

TEST(Plugin, CutShort) {
  const TemporaryDirectory directory;
  const std::string whole = read_file(plugins + "/token_shift.so");
  constexpr std::size_t less_than_a_header = 15;
  for (const std::size_t size : {less_than_a_header, whole.size() / 10, whole.size() / 2, whole.size() / 10 * 9}) {
    const std::string path = directory / ("part" + std::to_string(size) + ".so");
    write_file(path, whole.substr(0, size));
    expect_refused(path, size == less_than_a_header ? "is not a shared library" : "is cut short or damaged");
  }
}

/// A copy of the faulty plugin in which `from` is replaced by `to`, everywhere.
std::string altered_copy(const TemporaryDirectory& directory, const std::string& from, const std::string& to) {
  std::string content = read_file(plugins + "/faulty.so");
  std::size_t found = 0;
  for (std::size_t at = 0; (at = content.find(from, at)) != std::string::npos; at += to.size(), ++found) {
    content.replace(at, from.size(), to);
  }
  EXPECT_GT(found, 0u);
  write_file(directory / "altered.so", content);
  return directory / "altered.so";
}

std::string bytes(const PluginNote& note) {
  return {reinterpret_cast<const char*>(&note), sizeof(note)};
}

// The stamp is read before any code of the plugin runs: its static initialiser would abort.
TEST(Plugin, WrongStamp) {
  const TemporaryDirectory directory;
  const CommandSettings would_abort = {.environment = {"ZOO_TEST_FAULT=static initialiser"}};
  const std::string right = bytes(this_note());
  const auto refuse = [&](const PluginNote& wrong, const std::string& reason) {
    expect_refused(altered_copy(directory, right, bytes(wrong)), reason, would_abort);
  };
  PluginNote note = this_note();
  note.stamp.abi = 4711;
  refuse(note, "was built for plugin interface 4711");
  note = this_note();
  note.stamp.compiler[0] = '?';
  refuse(note, "was built with compiler ABI '?");
  note = this_note();
  note.stamp.version[0] = '9';
  refuse(note, "was built for zoo 9.");
  note = this_note();
  note.description_size = 32;
  refuse(note, "was built for another zoo");
  note = this_note();
  note.name[0] = 'Z';
  refuse(note, "it has no stamp");
  expect_refused(plugins + "/faulty.so", "crashed while opening it: SIGABRT", would_abort);
}

TEST(Plugin, AnotherProcessor) {
  const TemporaryDirectory directory;
  std::string content = read_file(plugins + "/faulty.so");
  content[18] = static_cast<char>(0xF3);  // e_machine: RISC-V
  content[19] = 0;
  write_file(directory / "riscv.so", content);
  expect_refused(directory / "riscv.so", "is for another kind of processor");
}

TEST(Plugin, MissingSymbols) {
  const TemporaryDirectory directory;
  expect_refused(plugins + "/missing_symbol.so", "never_defined");
  expect_refused(altered_copy(directory, "zoo_plugin_entries", "zoo_plugin_entreis"), "does not export");
  expect_refused(plugins + "/registers_nothing.so", "registers nothing");
}

struct Fault {
  const char* name;
  const char* reason;
};
void PrintTo(const Fault& fault, std::ostream* out) {
  *out << fault.name;
}

class FaultyPlugin : public testing::TestWithParam<Fault> {};

TEST_P(FaultyPlugin, IsRefusedWithItsReason) {
  const auto& [name, reason] = GetParam();
  expect_refused(plugins + "/faulty.so", reason,
                 {.environment = {std::string("ZOO_TEST_FAULT=") + name, "ZOO_PLUGIN_TIMEOUT=2"}});
}

INSTANTIATE_TEST_SUITE_P(
    Plugin, FaultyPlugin,
    testing::Values(
        Fault{"exception", "failed while constructing layer 'faulty' with d_model=64 and {}: the moon is full"},
        Fault{"odd exception", "failed while constructing layer 'faulty' with d_model=64 and {}: an exception"},
        Fault{"usage error", "d_model must be divisible by seven"},
        Fault{"division by zero", "crashed while constructing layer 'faulty' with d_model=64 and {}: SIGFPE"},
        Fault{"null pointer", "crashed while constructing layer 'faulty' with d_model=64 and {}: SIGSEGV"},
        Fault{"abort", "SIGABRT"}, Fault{"exit", "ended the program while constructing layer 'faulty'"},
        Fault{"endless loop", "did not come back within 2 s while constructing layer 'faulty'"},
        Fault{"no layer", "layer 'faulty' was not made: nullptr came back"},
        Fault{"registration", "failed while registering: the registry is closed on Sundays"},
        Fault{"same name twice", "layer 'faulty' is already registered"},
        Fault{"taken name", "task 'mqar' is already registered"},
        Fault{"bad name", "'base+attention' cannot be the name of a layer"},
        Fault{"task exception", "failed while constructing task 'silence' with {}: nothing to say"}),
    [](const auto& fault) {
      std::string name = fault.param.name;
      std::ranges::replace(name, ' ', '_');
      return name;
    });

TEST(Plugin, TimeLimitMustBeANumber) {
  const ProcessResult result =
      run_zoo({"layers", "--plugin", plugins + "/faulty.so"}, {.environment = {"ZOO_PLUGIN_TIMEOUT=soon"}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.error, HasSubstr("ZOO_PLUGIN_TIMEOUT is 'soon'"));
}

}  // namespace
}  // namespace zoo::test
