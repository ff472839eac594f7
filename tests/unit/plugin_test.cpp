#include "zoo/core/plugin.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/temporary_directory.h"
#include "zoo/core/plugin_file.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/core/random.h"

namespace zoo {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;

const std::string plugins = ZOO_PLUGINS;
const PluginTrial trial = {.command = ZOO_COMMAND};

TEST(RegisterBuiltin, MayBeCalledAgain) {
  const std::size_t before = layer_registry().entries().size();
  EXPECT_GT(before, 0u);
  register_builtin();
  EXPECT_EQ(layer_registry().entries().size(), before);
}

TEST(RegisterEntries, AllOrNothing) {
  const std::size_t before = layer_registry().entries().size();
  const std::vector<RegisterFunction> functions = {[](Registrar& registrar) {
                                                     registrar.layer({.name = "bystander",
                                                                      .description = "",
                                                                      .paper = "",
                                                                      .options = {},
                                                                      .make = [](Builder&) { return nullptr; },
                                                                      .test_cases = {}});
                                                   },
                                                   [](Registrar&) { throw Error("no"); }};
  EXPECT_THROW(register_entries(functions), Error);
  EXPECT_EQ(layer_registry().entries().size(), before);
  EXPECT_EQ(layer_registry().find("bystander"), nullptr);
}

// This program holds the sample plugin's layer as a built-in one.
TEST(LoadPlugin, RefusesATakenNameAndRegistersNothing) {
  const std::size_t layers = layer_registry().entries().size();
  EXPECT_THAT([] { load_plugin(plugins + "/token_shift.so", {.command = ""}); },
              ThrowsMessage<UsageError>(AllOf(HasSubstr(plugins + "/token_shift.so"),
                                              HasSubstr("layer 'token_shift' is already registered; rename yours"))));
  EXPECT_EQ(layer_registry().entries().size(), layers);
  EXPECT_THAT(loaded_plugins(), IsEmpty());
}

TEST(LoadPlugin, TriesItWithTheNamedCommand) {
  EXPECT_THAT([] { load_plugin(plugins + "/faulty.so", {.command = "/bin/false"}); },
              ThrowsMessage<UsageError>(HasSubstr("exit code 1")));
  setenv("ZOO_TEST_FAULT", "registration", 1);
  EXPECT_THAT([] { load_plugin(plugins + "/faulty.so", trial); },
              ThrowsMessage<UsageError>(HasSubstr("the registry is closed on Sundays")));
  unsetenv("ZOO_TEST_FAULT");
}

TEST(PluginTimeLimit, IsReadFromTheEnvironment) {
  unsetenv("ZOO_PLUGIN_TIMEOUT");
  EXPECT_EQ(PluginTrial::plugin_time_limit(), std::chrono::seconds(10));
  setenv("ZOO_PLUGIN_TIMEOUT", "2.5", 1);
  EXPECT_EQ(PluginTrial::plugin_time_limit(), std::chrono::milliseconds(2500));
  for (const char* bad : {"", "0", "-1", "ten", "nan", "inf", "1e9", "5s"}) {
    setenv("ZOO_PLUGIN_TIMEOUT", bad, 1);
    EXPECT_THAT([] { PluginTrial::plugin_time_limit(); }, ThrowsMessage<UsageError>(HasSubstr("ZOO_PLUGIN_TIMEOUT is")))
        << bad;
  }
  unsetenv("ZOO_PLUGIN_TIMEOUT");
}

// Reading a file that somebody damaged ends in an answer or a UsageError, wherever the damage is.
TEST(PluginStamp, SurvivesDamagedFiles) {
  const test::TemporaryDirectory folder;
  const std::string path = folder / "damaged.so";
  std::filesystem::copy_file(plugins + "/token_shift.so", path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const std::string whole((std::istreambuf_iterator<char>(file)), {});
  const auto passes = [&] {
    try {
      check_plugin_stamp(path);
      return true;
    } catch (const UsageError&) {
      return false;
    }
  };
  const auto write = [&](std::size_t at, std::string_view bytes) {
    file.clear();
    file.seekp(static_cast<std::streamoff>(at)).write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
  };
  ASSERT_TRUE(passes());
  const std::size_t note = whole.find(std::string("zoo\0", 4) + static_cast<char>(plugin_abi) + std::string(3, '\0'));
  ASSERT_NE(note, std::string::npos);

  RandomStream random(RandomKey::of(0, "damage"));
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    // In the headers, or in the note and around it.
    const auto [begin, size] = i % 2 == 0 ? std::pair<std::size_t, std::size_t>{0, 1024} : std::pair{note - 64, 192ul};
    std::string damaged = whole.substr(begin, size);
    for (int change = 0; change < 1 + i % 8; ++change) {
      damaged[random.below(size)] = static_cast<char>(random.below(256));
    }
    write(begin, damaged);
    if (!passes()) ++refused;
    write(begin, whole.substr(begin, size));
  }
  EXPECT_GT(refused, 500);
  EXPECT_TRUE(passes());
  for (std::size_t size = whole.size() - 1; size > 0; size -= std::min(size, 1 + whole.size() / 300)) {
    std::filesystem::resize_file(path, size);
    EXPECT_FALSE(passes()) << size;
  }
}

}  // namespace
}  // namespace zoo
