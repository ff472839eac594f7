#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <thread>

#include "tests/temporary_directory.h"
#include "zoo/core/error.h"
#include "zoo/core/process.h"
#include "zoo/sweep/interrupt.h"
#include "zoo/sweep/lock.h"
#include "zoo/sweep/ranks.h"
#include "zoo/sweep/worker.h"
#include "zoo/sweep/workers.h"

namespace zoo {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A shell script in the place of `zoo worker`; it gets the request in $request.
std::vector<std::string> script(const std::string& text) {
  return {"/bin/sh", "-c", "read -r request\n" + text};
}

const std::string end_line = R"({"what":"end","status":"done","message":"","summary":{},"slices":[]})";

// Everything that the workers say until all have ended.
std::map<std::size_t, std::vector<WorkerMessage>> listen(WorkerPool& pool) {
  std::map<std::size_t, std::vector<WorkerMessage>> heard;
  while (!pool.idle()) {
    for (WorkerEvent& event : pool.wait(std::chrono::seconds(10))) heard[event.job].push_back(std::move(event.message));
  }
  return heard;
}

RunEnd end_of_one(const std::string& text) {
  WorkerPool pool(script(text), 1);
  pool.start(7, {});
  auto heard = listen(pool);
  EXPECT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[7].size(), 1U);
  return std::get<RunEnd>(heard[7].back());
}

TEST(WorkerPool, PassesOnWhatIsSaidAndIgnoresWhatIsPrinted) {
  WorkerPool pool(script("echo noise; echo more noise >&2\n"
                         "echo '{\"what\":\"progress\",\"epoch\":1,\"fraction\":0.5,\"train_loss\":\"nan\"}' >&3\n"
                         "printf '%s' '" +
                         end_line.substr(0, 20) +
                         "' >&3; sleep 0.05\n"
                         "echo '" +
                         end_line.substr(20) + "' >&3\n"),
                  1);
  EXPECT_TRUE(pool.idle());
  pool.start(3, {});
  EXPECT_FALSE(pool.has_free_slot());
  const auto heard = listen(pool);
  ASSERT_EQ(heard.at(3).size(), 2U);
  EXPECT_EQ(std::get<RunProgress>(heard.at(3)[0]).fraction, 0.5);
  EXPECT_EQ(std::get<RunEnd>(heard.at(3)[1]).status, RunStatus::done);
  EXPECT_TRUE(pool.has_free_slot());
}

TEST(WorkerPool, SendsTheRequest) {
  WorkerPool pool(script("echo \"$request\" >&2; exit 5"), 1);
  pool.start(0, {.spec = {{{"layer", "x"}}, {}, {}}, .checkpoint_path = "here"});
  const auto heard = listen(pool);
  EXPECT_THAT(std::get<RunEnd>(heard.at(0).back()).message, AllOf(HasSubstr("code 5"), HasSubstr("\"layer\":\"x\"")));
}

TEST(WorkerPool, ADeadWorkerIsAFailedRunWithItsReason) {
  EXPECT_EQ(end_of_one("exit 3").status, RunStatus::failed);
  EXPECT_THAT(end_of_one("echo first >&2; echo the last words >&2; exit 3").message,
              AllOf(HasSubstr("exited with code 3"), HasSubstr(": the last words")));
  EXPECT_THAT(end_of_one("kill -SEGV $$").message, HasSubstr("signal 11 (Segmentation fault)"));
  EXPECT_THAT(end_of_one("kill -KILL $$").message, AllOf(HasSubstr("signal 9"), HasSubstr("memory")));
  EXPECT_THAT(end_of_one("echo gibberish >&3").message, HasSubstr("gibberish"));
}

TEST(WorkerPool, TheSaidEndCountsWhateverFollows) {
  EXPECT_EQ(end_of_one("echo '" + end_line + "' >&3; kill -SEGV $$").status, RunStatus::done);
}

// Rank 0 in the place of MPI: hands out run after run, each as soon as the one before has said its end.
class TwoRuns final : public Ranks {
 public:
  void send(int to, const std::string& text) override {
    EXPECT_EQ(to, 0);
    if (!std::holds_alternative<RunEnd>(read_message(text))) return;
    statuses.push_back(std::get<RunEnd>(read_message(text)).status);
    waiting_ = statuses.size() < 2 ? run_ : "d";
  }
  std::optional<std::pair<int, std::string>> receive() override {
    if (waiting_.empty()) return std::nullopt;
    return std::pair(0, std::exchange(waiting_, ""));
  }
  std::vector<RunStatus> statuses;

 private:
  const std::string run_ = "r" + write_request({});
  std::string waiting_ = run_;
};

TEST(ServeRank, AProcessThatIsSlowToEndDelaysTheNextRun) {
  TwoRuns ranks;
  serve_rank(ranks, script("echo '" + end_line + "' >&3; sleep 0.2"));
  EXPECT_THAT(ranks.statuses, ::testing::ElementsAre(RunStatus::done, RunStatus::done));
}

TEST(WorkerPool, AProgramThatCannotStartIsAFailedRun) {
  WorkerPool pool({"/nowhere/zoo"}, 1);
  pool.start(0, {});
  EXPECT_THAT(std::get<RunEnd>(listen(pool).at(0).back()).message, HasSubstr("could not be started"));
}

TEST(WorkerPool, StopsPolitelyAndAtOnce) {
  const std::string patient = "trap 'echo \"" + std::string(R"({\"what\":\"end\",\"status\":\"interrupted\",)") +
                              R"(\"message\":\"\",\"summary\":{},\"slices\":[]})" + "\" >&3; exit 0' TERM\n" +
                              "echo '{\"what\":\"progress\",\"epoch\":1,\"fraction\":0,\"train_loss\":0}' >&3\n" +
                              "while true; do sleep 0.02; done";
  WorkerPool polite(script(patient), 2);
  polite.start(0, {});
  polite.start(1, {});
  std::size_t ready = 0;
  while (ready < 2) ready += polite.wait(std::chrono::seconds(10)).size();
  polite.request_stop();
  for (const auto& [job, messages] : listen(polite)) {
    EXPECT_EQ(std::get<RunEnd>(messages.back()).status, RunStatus::interrupted) << job;
  }

  WorkerPool deaf(script("trap '' TERM; while true; do sleep 0.02; done"), 1);
  deaf.start(0, {});
  deaf.request_stop();
  deaf.kill_all();
  EXPECT_EQ(std::get<RunEnd>(listen(deaf).at(0).back()).status, RunStatus::failed);
}

TEST(WorkerPool, EachWorkerHasACoreAndAThread) {
  WorkerPool pool(script("grep Cpus_allowed_list /proc/self/status >&2; echo threads $OMP_NUM_THREADS >&2; exit 1"), 1);
  pool.start(0, {});
  EXPECT_THAT(std::get<RunEnd>(listen(pool).at(0).back()).message, HasSubstr("threads 1"));
  WorkerPool cores(script("grep Cpus_allowed_list /proc/self/status | tr '\\t' ' ' >&2; exit 1"), 2);
  cores.start(0, {});
  cores.start(1, {});
  const auto heard = listen(cores);
  const auto allowed = allowed_cores();
  for (std::size_t job = 0; job < 2; ++job) {
    const std::string expected = "Cpus_allowed_list: " + std::to_string(allowed[job % allowed.size()]);
    const std::string& message = std::get<RunEnd>(heard.at(job).back()).message;
    EXPECT_TRUE(message.ends_with(expected)) << message;
  }
}

// Whether a process has gone within a few seconds.
bool ends(pid_t process) {
  for (int i = 0; i < 500; ++i) {
    if (kill(process, 0) != 0) return true;
    std::ifstream status("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(status, text);
    if (text.find(") Z") != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(WorkerPool, WorkersDieWithTheirParent) {
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    WorkerPool pool(script("echo pid $$ >&2; echo '{\"what\":\"progress\",\"epoch\":'$$',\"fraction\":0,"
                           "\"train_loss\":0}' >&3; while true; do sleep 0.02; done"),
                    1);
    pool.start(0, {});
    while (true) {
      for (const WorkerEvent& event : pool.wait(std::chrono::seconds(10))) {
        const auto pid = static_cast<pid_t>(std::get<RunProgress>(event.message).epoch);
        if (write(channel[1], &pid, sizeof pid) != sizeof pid) _exit(1);
      }
    }
  }
  pid_t worker = 0;
  ASSERT_EQ(read(channel[0], &worker, sizeof worker), static_cast<ssize_t>(sizeof worker));
  EXPECT_EQ(kill(worker, 0), 0);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(ends(worker));
  close(channel[0]);
  close(channel[1]);
}

// serve_worker on pipes of this process.
std::vector<WorkerMessage> serve(const ExecuteRun& execute, const std::string& request) {
  int in[2];
  int out[2];
  EXPECT_EQ(pipe(in), 0);
  EXPECT_EQ(pipe(out), 0);
  EXPECT_EQ(write(in[1], request.data(), request.size()), static_cast<ssize_t>(request.size()));
  close(in[1]);
  EXPECT_EQ(serve_worker(execute, in[0], out[1]), 0);
  close(in[0]);
  close(out[1]);
  std::string text(1 << 16, '\0');
  text.resize(static_cast<std::size_t>(read(out[0], text.data(), text.size())));
  close(out[0]);
  std::vector<WorkerMessage> messages;
  for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
    messages.push_back(read_message(text.substr(0, end)));
  }
  return messages;
}

TEST(ServeWorker, TellsEpochsProgressAndTheEnd) {
  const auto execute = [](const RunSpec& spec, const std::string& checkpoint, const RunCallbacks& callbacks,
                          const RunLimits&) {
    EXPECT_EQ(spec.subject.at("layer"), "x");
    EXPECT_EQ(checkpoint, "there");
    EXPECT_FALSE(callbacks.stop_requested());
    callbacks.progress({1, 0.25, 3});
    callbacks.epoch({1, 3, 2, 0.5, 0.1, 1});
    std::raise(SIGTERM);
    return RunOutcome{callbacks.stop_requested() ? RunStatus::interrupted : RunStatus::done, "", {{"epochs", 1}}, {}};
  };
  const auto messages = serve(execute, write_request({{{{"layer", "x"}}, {}, {}}, "there"}));
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(std::get<RunProgress>(messages[0]).fraction, 0.25);
  EXPECT_EQ(std::get<EpochResult>(messages[1]).validation_accuracy, 0.5);
  EXPECT_EQ(std::get<RunEnd>(messages[2]).status, RunStatus::interrupted);
}

TEST(ServeWorker, AnErrorIsAFailedRun) {
  const auto fails = [](const RunSpec&, const std::string&, const RunCallbacks&, const RunLimits&) -> RunOutcome {
    throw Error("the disk is full");
  };
  const auto messages = serve(fails, write_request({}));
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(std::get<RunEnd>(messages[0]).status, RunStatus::failed);
  EXPECT_EQ(std::get<RunEnd>(messages[0]).message, "the disk is full");
  const auto confused = serve(fails, "not JSON");
  EXPECT_EQ(std::get<RunEnd>(confused.at(0)).status, RunStatus::failed);
}

TEST(InterruptGuard, CountsSignalsAndGivesThemBack) {
  {
    const InterruptGuard guard({SIGUSR1});
    EXPECT_EQ(InterruptGuard::count(), 0);
    std::raise(SIGUSR1);
    std::raise(SIGUSR1);
    EXPECT_EQ(InterruptGuard::count(), 2);
  }
  EXPECT_EXIT(std::raise(SIGUSR1), ::testing::KilledBySignal(SIGUSR1), "");
}

TEST(StoreLock, OneSweepAtATime) {
  const test::TemporaryDirectory folder;
  const std::string store = folder / "runs.db";
  {
    const StoreLock lock(store);
    try {
      const StoreLock second(store);
      ADD_FAILURE() << "locked twice";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(store), HasSubstr(std::to_string(getpid()))));
    }
  }
  EXPECT_NO_THROW(StoreLock{store});
  EXPECT_THROW(StoreLock{"/nowhere/runs.db"}, UsageError);
}

}  // namespace
}  // namespace zoo
