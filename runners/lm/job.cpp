#include "runners/lm/job.h"

#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <new>
#include <thread>

#include "runners/lm/progress.h"
#include "runners/mpi_job.h"
#include "zoo/core/device.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/io/atomic_file.h"
#include "zoo/lm/gradient_sum.h"
#include "zoo/lm/settings.h"
#include "zoo/sweep/environment.h"
#include "zoo/sweep/interrupt.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A folder belongs to one run, whose record lies in it as run.json: another's checkpoints and log would be mixed up.
void claim_folder(const fs::path& folder, const RunSpec& spec, const fs::path& store) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw UsageError("cannot make the folder {}: {}", folder.string(), failure.message());
  const fs::path path = folder / "run.json";
  const json record = {{"id", spec.id()},
                       {"subject", spec.subject},
                       {"axes", spec.axes},
                       {"setting", spec.setting},
                       {"store", fs::absolute(store).lexically_normal().string()}};
  std::ifstream file(path);
  if (!file) {
    write_file_atomically(path, record.dump(2) + "\n");
    return;
  }
  const json known = json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (known.is_object() && known.value("id", json()) == record["id"]) return;
  std::vector<std::string> differences;
  if (known.is_object()) {
    const RunSpec other{known.value("subject", json()), known.value("axes", json()), known.value("setting", json())};
    differences = lm_differences(other, spec);
    if (other.subject != spec.subject) {
      differences.push_back("subject: " + other.subject.dump() + " and " + spec.subject.dump());
    }
  }
  throw UsageError("{} holds another run; give another --out. What differs: {}", folder.string(),
                   differences.empty() ? "run.json is damaged" : fmt::format("{}", fmt::join(differences, "; ")));
}

}  // namespace

LmJob::LmJob(Collective& ranks, const std::string& store_path) : ranks_(&ranks), store_path_(store_path) {
  if (!leads()) return;
  std::error_code ignored;  // the store says what is wrong with its folder
  const fs::path folder = fs::path(store_path).parent_path();
  if (!folder.empty()) fs::create_directories(folder, ignored);
  lock_.emplace(store_path);
  store_.emplace(store_path);
}

// What rank 0 says, on every rank.
RunStatus LmJob::share(RunStatus status) {
  double value = leads() ? static_cast<double>(status) : 0;
  ranks_->sum(std::span(&value, 1));
  return static_cast<RunStatus>(static_cast<int>(value));
}

Run LmJob::make(const RunSpec& spec, const Corpus& corpus, const fs::path& folder, const LmRunRequest& request,
                const std::string& command) {
  check_lm(spec, corpus);
  const LmSettings settings = read_lm_settings(spec);
  const std::string id = spec.id();
  std::optional<Run> known;
  if (leads()) {
    claim_folder(folder, spec, store_path_);
    known = store_->find(id);
  }
  const RunStatus before = share(known ? known->status : RunStatus::running);
  if (before == RunStatus::done || before == RunStatus::diverged) {
    if (known) return *known;
    Run elsewhere;
    elsewhere.status = before;
    return elsewhere;
  }
  const LmRunOptions options{
      .folder = folder,
      .execution = {.micro_batch =
                        std::min(request.micro_batch.value_or(default_micro_batch(settings)), settings.batch_sequences),
                    .recompute = request.recompute},
      .keep_checkpoints = request.keep,
      .checkpoint_every = request.checkpoint_every};
  json environment = describe_environment(threads(), loaded_plugins(), command);
  environment["micro_batch"] = options.execution.micro_batch;
  environment["recompute"] = options.execution.recompute;
  environment["ranks"] = ranks_->size();
  if (ranks_->size() > 1) environment["gradients_summed_by"] = GradientSum::name();
  environment["folder"] = fs::absolute(folder).lexically_normal().string();

  const InterruptGuard guard;
  LmProgress progress(settings.model.layer, settings.steps);
  if (leads() && ranks_->size() > 1 && on_gpu()) {
    progress.note(fmt::format("zoo: gradients of {} GPUs are summed by {}", ranks_->size(), GradientSum::name()));
  }
  LmStep last;
  const LmCallbacks callbacks{.begin =
                                  [&](std::int64_t done) {
                                    store_->begin(spec, environment, done);
                                    progress.begin(done);
                                  },
                              .step =
                                  [&](const LmStep& step) {
                                    last = step;
                                    progress.step(step);
                                  },
                              .evaluation =
                                  [&](const LmEvaluation& evaluation, const LmStep& step) {
                                    store_->add_epoch(id, {.epoch = evaluation.step,
                                                           .train_loss = last.loss,
                                                           .validation_loss = evaluation.loss,
                                                           .validation_accuracy = 0,
                                                           .learning_rate = step.learning_rate,
                                                           .seconds = step.seconds});
                                    progress.evaluation(evaluation);
                                  },
                              .stop_requested = [] { return InterruptGuard::count() > 0; },
                              .warning = [&](const std::string& line) { progress.note("zoo: warning: " + line); }};
  Run result;
  try {
    const LmOutcome outcome = train_lm(spec, corpus, options, callbacks, *ranks_);
    result.status = outcome.status;
    if (leads()) store_->finish(id, outcome.status, outcome.message, outcome.summary, outcome.slices);
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& failure) {
    if (leads() && store_->find(id)) store_->finish(id, RunStatus::failed, failure.what(), nullptr, {});
    throw;
  }
  return leads() ? *store_->find(id) : result;
}

int with_ranks(const std::function<int(Collective&)>& work) {
  const std::unique_ptr<Ranks> job = open_mpi_job();
  if (!job) {
    Collective alone;
    return work(alone);
  }
  const auto fail = [&](int code, const char* message) {
    // What is wrong with the command is wrong on every rank: one of them says so.
    if (code == 2 && job->rank() > 0) std::this_thread::sleep_for(std::chrono::seconds(2));
    fmt::print(stderr, "zoo: rank {}: {}\n", job->rank(), message);
    job->abort(code);
    return code;
  };
  try {
    return work(*job);
  } catch (const UsageError& error) {
    return fail(2, error.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory; try a smaller --micro-batch, --recompute, or a smaller model");
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}

}  // namespace zoo
