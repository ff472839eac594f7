#include "zoo/io/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "zoo/core/error.h"

namespace zoo {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string name = (fs::temp_directory_path() / "zoo_store_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    fs::permissions(folder_, fs::perms::all);
  }
  ~StoreTest() override {
    fs::permissions(folder_, fs::perms::all);
    fs::remove_all(folder_);
  }
  std::string file(const std::string& name = "runs.db") const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& content) const { std::ofstream(file(name)) << content; }

  fs::path folder_;
};

RunSpec example_spec(int seed = 0) {
  return {{{"layer", "attention"}, {"layer_options", {{"attention", {{"heads", 1}}}}}},
          {{"d_model", 64}, {"lr", 1e-3}, {"seed", seed}, {"cell", {{"batch_size", 8}}}},
          {{"task", "mqar"}, {"epochs", 4}}};
}

EpochResult example_epoch(std::int64_t epoch) {
  return {epoch, 0.1 * epoch, 0.2, 0.3, 1e-3, 1.5 * epoch};
}

std::vector<SliceResult> example_slices() {
  return {{"test", {{"seq_len", 64}, {"kv_pairs", 8}}, 1.0 / 3, 0.7, 4096, 800},
          {"validation", {{"seq_len", 64}, {"kv_pairs", 8}}, 0.25, nan, 4096, 800}};
}

// The message of the UsageError that opening throws.
std::string refusal(const std::string& path, Store::Mode mode) {
  try {
    Store store(path, mode);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "opened";
}

// Runs `work` in a child process as a user who owns nothing; true when it returned true.
template <typename Work>
bool as_nobody(Work&& work) {
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) _exit(3);
    bool right = false;
    try {
      right = work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
    }
    _exit(right ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(RunSpec, IdDependsOnEveryPartAndOnNothingElse) {
  const RunSpec spec = example_spec();
  EXPECT_THAT(spec.id(), testing::MatchesRegex("[0-9a-f]{12}"));
  RunSpec same;
  same.axes = json::parse(R"({"seed": 0.0, "lr": 0.0010, "cell": {"batch_size": 8.0}, "d_model": 64})");
  same.setting = json::parse(R"({"epochs": 4, "task": "mqar"})");
  same.subject = spec.subject;
  EXPECT_EQ(spec.id(), same.id());
  RunSpec other = spec;
  other.subject["layer"] = "attention2";
  EXPECT_NE(spec.id(), other.id());
  other = spec;
  other.axes["lr"] = std::nextafter(1e-3, 1);
  EXPECT_NE(spec.id(), other.id());
  other = spec;
  other.setting["epochs"] = 5;
  EXPECT_NE(spec.id(), other.id());
}

// Ids are in people's stores: they must never change. Also computed by the reference implementation:
// printf '%s' '{"axes":...,"setting":...,"subject":...}' | xxhsum -H2
TEST(RunSpec, IdIsPinned) {
  EXPECT_EQ(example_spec().id(), "df786c34e491");
}

TEST_F(StoreTest, RunsComeBackAsTheyWereRecorded) {
  const RunSpec spec = example_spec();
  const json environment = {{"command", "zoo recall 'x'"}, {"threads", 1}};
  const json summary = {{"parameters", 123}, {"flops", 1.5e12}, {"epochs", 2}, {"train_seconds", 0.1}};
  {
    Store store(file());
    EXPECT_TRUE(store.runs().empty());
    EXPECT_FALSE(store.find(spec.id()).has_value());
    store.begin(spec, environment);
    store.add_epoch(spec.id(), example_epoch(1));
    store.add_epoch(spec.id(), example_epoch(2));
    store.finish(spec.id(), RunStatus::diverged, "loss became nan at step 7", summary, example_slices());
  }
  const Store store(file(), Store::Mode::read);
  const std::optional<zoo::Run> run = store.find(spec.id());
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->id, spec.id());
  EXPECT_EQ(run->spec.id(), spec.id());
  EXPECT_EQ(run->spec.axes, spec.axes);
  EXPECT_EQ(run->status, RunStatus::diverged);
  EXPECT_EQ(run->message, "loss became nan at step 7");
  EXPECT_EQ(run->environment, environment);
  EXPECT_EQ(run->summary, summary);
  EXPECT_THAT(run->started, testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"));
  EXPECT_GE(run->finished, run->started);
  ASSERT_EQ(run->epochs.size(), 2u);
  EXPECT_EQ(run->epochs[1].epoch, 2);
  EXPECT_EQ(run->epochs[1].train_loss, 0.1 * 2);
  EXPECT_EQ(run->epochs[1].seconds, 3.0);
  ASSERT_EQ(run->slices.size(), 2u);
  EXPECT_EQ(run->slices[0].split, "test");
  EXPECT_EQ(run->slices[0].slice, example_slices()[0].slice);
  EXPECT_EQ(run->slices[0].accuracy, 1.0 / 3);  // bit for bit
  EXPECT_EQ(run->slices[0].state_bytes, 4096);
  EXPECT_TRUE(std::isnan(run->slices[1].loss));
}

TEST_F(StoreTest, StartingAgainKeepsWholeEpochsAndTheOrder) {
  Store store(file());
  for (const int seed : {3, 1, 2}) store.begin(example_spec(seed), {});
  const std::string id = example_spec(3).id();
  for (const int epoch : {1, 2, 3}) store.add_epoch(id, example_epoch(epoch));
  store.finish(id, RunStatus::interrupted, "by the user", {}, example_slices());
  store.begin(example_spec(3), {{"try", 2}}, 2);
  std::vector<zoo::Run> runs = store.runs();
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].id, id);
  EXPECT_EQ(runs[1].spec.axes["seed"], 1);
  EXPECT_EQ(runs[0].status, RunStatus::running);
  EXPECT_EQ(runs[0].message, "");
  EXPECT_EQ(runs[0].environment["try"], 2);
  EXPECT_EQ(runs[0].epochs.size(), 2u);
  EXPECT_TRUE(runs[0].slices.empty());
  store.add_epoch(id, example_epoch(3));
  store.add_epoch(id, example_epoch(3));
  EXPECT_EQ(store.find(id)->epochs.size(), 3u);
  store.begin(example_spec(3), {});
  EXPECT_TRUE(store.find(id)->epochs.empty());
}

TEST_F(StoreTest, RecordsOfARunThatNeverBeganAreRefused) {
  Store store(file());
  EXPECT_THROW(store.add_epoch("000000000000", example_epoch(1)), Error);
  EXPECT_THROW(store.finish("000000000000", RunStatus::done, "", {}, {}), Error);
}

TEST_F(StoreTest, HostileTextIsKept) {
  RunSpec spec = example_spec();
  spec.subject["layer"] = "'); DROP TABLE runs; --\n\"<script>\xff";  // the last byte is not UTF-8
  Store store(file("a '%3f?#.db"));
  store.begin(spec, {{"command", "zoo 'a' \"b\"\n"}});
  EXPECT_EQ(store.find(spec.id())->environment["command"], "zoo 'a' \"b\"\n");
  EXPECT_TRUE(fs::exists(file("a '%3f?#.db")));
}

TEST_F(StoreTest, PeopleCanQueryIt) {
  {
    Store store(file());
    store.begin(example_spec(5), {});
    store.finish(example_spec(5).id(), RunStatus::done, "", {{"parameters", 9}}, example_slices());
  }
  SQLite::Database database(file(), SQLite::OPEN_READONLY);
  SQLite::Statement query(database,
                          "SELECT layer, d_model, lr, seed, accuracy, status FROM results WHERE split = 'test'");
  ASSERT_TRUE(query.executeStep());
  EXPECT_EQ(query.getColumn(0).getString(), "attention");
  EXPECT_EQ(query.getColumn(1).getInt(), 64);
  EXPECT_EQ(query.getColumn(2).getDouble(), 1e-3);
  EXPECT_EQ(query.getColumn(3).getInt(), 5);
  EXPECT_EQ(query.getColumn(4).getDouble(), 1.0 / 3);
  EXPECT_EQ(query.getColumn(5).getString(), "done");
}

TEST_F(StoreTest, FilesThatAreNotStoresAreRefusedAndLeftAlone) {
  write("text.db", "hello");
  write("long.db", std::string(10000, 'x'));
  write("empty.db", "");
  SQLite::Database(file("other.db"), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE mine (a)");
  for (const Store::Mode mode : {Store::Mode::read, Store::Mode::write}) {
    EXPECT_THAT(refusal(file("text.db"), mode), AllOf(HasSubstr("text.db"), HasSubstr("not an SQLite database")));
    EXPECT_THAT(refusal(file("long.db"), mode), AllOf(HasSubstr("long.db"), HasSubstr("not an SQLite database")));
    EXPECT_THAT(refusal(file("other.db"), mode), AllOf(HasSubstr("other.db"), HasSubstr("not a run store")));
    EXPECT_THAT(refusal(folder_.string(), mode), HasSubstr("is a folder"));
    EXPECT_THAT(refusal(file("no/runs.db"), mode), HasSubstr("there is no folder"));
    EXPECT_THAT(refusal("", mode), HasSubstr("is empty"));
  }
  EXPECT_THAT(refusal(file("none.db"), Store::Mode::read), HasSubstr("there is no run store"));
  EXPECT_FALSE(fs::exists(file("none.db")));
  EXPECT_THAT(refusal(file("empty.db"), Store::Mode::read), HasSubstr("is empty"));
  EXPECT_EQ(refusal(file("empty.db"), Store::Mode::write), "opened");
  EXPECT_EQ(fs::file_size(file("text.db")), 5u);
  SQLite::Database other(file("other.db"));
  EXPECT_EQ(other.execAndGet("PRAGMA journal_mode").getString(), "delete");
}

TEST_F(StoreTest, AStoreOfANewerVersionIsRefused) {
  { Store store(file()); }
  SQLite::Database(file(), SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 99");
  for (const Store::Mode mode : {Store::Mode::read, Store::Mode::write}) {
    EXPECT_THAT(refusal(file(), mode), AllOf(HasSubstr("newer version"), HasSubstr("99")));
  }
}

// Format 1 had no metrics: it is read as it stands, and brought up to date when it is written.
TEST_F(StoreTest, AnOlderStoreIsReadAndGoneOnWith) {
  const RunSpec spec = example_spec(1);
  const SliceResult slice{.split = "test", .slice = {{"seq_len", 64}}, .accuracy = 0.5, .loss = 1, .labelled = 4};
  {
    Store store(file());
    store.begin(spec, {});
    store.finish(spec.id(), RunStatus::done, "", {}, {slice});
  }
  SQLite::Database(file(), SQLite::OPEN_READWRITE)
      .exec("ALTER TABLE slices DROP COLUMN metrics; PRAGMA user_version = 1");
  const auto figures = [&] { return Store(file(), Store::Mode::read).find(spec.id()).value().slices.at(0); };
  EXPECT_EQ(figures().accuracy, 0.5);
  EXPECT_EQ(figures().metrics, nlohmann::json::object());

  SliceResult newer = slice;
  newer.metrics = {{"class_accuracy", 0.25}};
  Store(file()).finish(spec.id(), RunStatus::done, "", {}, {newer});
  EXPECT_EQ(figures().metrics, newer.metrics);
}

TEST_F(StoreTest, ADamagedStoreIsNamedSo) {
  {
    Store store(file());
    for (int seed = 0; seed < 50; ++seed) store.begin(example_spec(seed), {});
  }
  std::fstream stream(file(), std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(4096);
  stream << std::string(fs::file_size(file()) - 4096, '\x5a');
  stream.close();
  try {
    Store(file(), Store::Mode::read).runs();
    FAIL() << "read a damaged store";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("runs.db"), HasSubstr("damaged")));
  }
}

TEST_F(StoreTest, ReadingWorksWhereNothingMayBeWritten) {
  {
    Store store(file());
    store.begin(example_spec(), {});
  }
  fs::permissions(file(), fs::perms::owner_read | fs::perms::others_read);
  fs::permissions(folder_,
                  fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
  EXPECT_TRUE(as_nobody([&] { return Store(file(), Store::Mode::read).runs().size() == 1; }));
  EXPECT_TRUE(as_nobody([&] {
    const std::string message = refusal(file(), Store::Mode::write);
    return message.find("may not be written") != std::string::npos && message.find(file()) != std::string::npos;
  }));
  fs::permissions(file(), fs::perms::all);
  EXPECT_TRUE(as_nobody([&] { return refusal(file(), Store::Mode::write).find("folder") != std::string::npos; }));
  fs::permissions(file(), fs::perms::owner_write);
  EXPECT_TRUE(
      as_nobody([&] { return refusal(file(), Store::Mode::read).find("may not be read") != std::string::npos; }));
}

TEST_F(StoreTest, ReadingWorksWhileAWriterIsActive) {
  Store writer(file());
  writer.begin(example_spec(), {});
  const Store reader(file(), Store::Mode::read);
  EXPECT_EQ(reader.runs().size(), 1u);
  SQLite::Database locker(file(), SQLite::OPEN_READWRITE);
  locker.exec("BEGIN IMMEDIATE; UPDATE runs SET message = 'unfinished'");
  EXPECT_EQ(reader.runs()[0].message, "");
  EXPECT_EQ(Store(file(), Store::Mode::read).runs().size(), 1u);
  locker.exec("COMMIT");
  EXPECT_EQ(reader.runs()[0].message, "unfinished");
  EXPECT_THROW(Store(file(), Store::Mode::read).begin(example_spec(), {}), Error);
}

TEST_F(StoreTest, AnotherWriterIsWaitedForAndThenNamed) {
  Store store(file());
  SQLite::Database locker(file(), SQLite::OPEN_READWRITE);
  locker.exec("BEGIN IMMEDIATE");
  std::string opening;
  std::thread opener([&] { opening = refusal(file(), Store::Mode::write); });
  std::string writing;
  try {
    store.begin(example_spec(), {});
  } catch (const UsageError&) {
    writing = "a UsageError";
  } catch (const Error& error) {
    writing = error.what();
  }
  opener.join();
  EXPECT_THAT(opening, AllOf(HasSubstr("runs.db"), HasSubstr("another process")));
  EXPECT_THAT(writing, AllOf(HasSubstr("runs.db"), HasSubstr("another process")));
  std::thread releaser([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    locker.exec("ROLLBACK");
  });
  store.begin(example_spec(), {});
  releaser.join();
  EXPECT_EQ(store.runs().size(), 1u);
}

TEST_F(StoreTest, AKilledWriterLosesNothingThatWasRecorded) {
  const std::string id = example_spec().id();
  const pid_t child = fork();
  if (child == 0) {
    Store store(file());
    store.begin(example_spec(), {});
    for (const int epoch : {1, 2, 3}) store.add_epoch(id, example_epoch(epoch));
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(Store(file(), Store::Mode::read).find(id)->epochs.size(), 3u);
  Store store(file());
  EXPECT_EQ(store.find(id)->epochs.size(), 3u);
  EXPECT_EQ(store.find(id)->status, RunStatus::running);
}

TEST_F(StoreTest, AFullDiskIsAnErrorThatKeepsWhatWasRecorded) {
  const bool right = as_nobody([&] {
    signal(SIGXFSZ, SIG_IGN);
    Store store(file());
    store.begin(example_spec(), {});
    const rlimit limit{200'000, 200'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    int written = 0;
    try {
      for (; written < 1000; ++written) store.add_epoch(example_spec().id(), example_epoch(written));
    } catch (const UsageError&) {
      return false;
    } catch (const Error& error) {
      const std::string message = error.what();
      const std::size_t kept = store.find(example_spec().id())->epochs.size();
      return message.find(file()) != std::string::npos && message.find("free") != std::string::npos &&
             kept == static_cast<std::size_t>(written) && written > 0;
    }
    return false;
  });
  EXPECT_TRUE(right);
  EXPECT_EQ(Store(file()).runs().size(), 1u);
}

}  // namespace
}  // namespace zoo
