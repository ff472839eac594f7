#include "zoo/core/plugin.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

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
  std::ifstream file(plugins + "/token_shift.so", std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(file)), {});
  ASSERT_GT(whole.size(), 4096u);
  const std::string path = testing::TempDir() + "/zoo_damaged.so";
  const auto check = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
    try {
      check_plugin_stamp(path);
      return true;
    } catch (const UsageError&) {
      return false;
    }
  };
  ASSERT_TRUE(check(whole));
  const std::size_t note = whole.find(std::string("zoo\0\1\0\0\0", 8));
  ASSERT_NE(note, std::string::npos);
  RandomStream random(RandomKey::of(0, "damage"));
  for (int i = 0; i < 1500; ++i) {
    std::string damaged = whole;
    for (int change = 0; change < 1 + i % 8; ++change) {
      const std::size_t around = i % 2 == 0 ? random.below(1024) : note - 64 + random.below(192);
      damaged[around] = static_cast<char>(random.below(256));
    }
    check(damaged);
  }
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(check(whole.substr(0, random.below(whole.size()))));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace zoo
