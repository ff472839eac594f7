#include "runners/lm/train_run.h"

#include <fmt/format.h>

#include <fstream>

#include "runners/lm/progress.h"
#include "zoo/core/error.h"
#include "zoo/core/parallel.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/io/atomic_file.h"
#include "zoo/lm/settings.h"
#include "zoo/sweep/environment.h"
#include "zoo/sweep/interrupt.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A folder belongs to one run, whose record lies in it as run.json: another's checkpoints and log would be mixed up.
void claim_folder(const fs::path& folder, const RunSpec& spec) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw UsageError("cannot make the folder {}: {}", folder.string(), failure.message());
  const fs::path path = folder / "run.json";
  const json record = {{"id", spec.id()}, {"subject", spec.subject}, {"axes", spec.axes}, {"setting", spec.setting}};
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

Run make_lm_run(const RunSpec& spec, const Corpus& corpus, const fs::path& folder, const LmRunRequest& request,
                Store& store, const std::string& command) {
  const LmSettings settings = read_lm_settings(spec);
  claim_folder(folder, spec);
  const std::string id = spec.id();
  if (auto known = store.find(id);
      known && (known->status == RunStatus::done || known->status == RunStatus::diverged)) {
    return *known;
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
  environment["folder"] = fs::absolute(folder).lexically_normal().string();

  const InterruptGuard guard;
  LmProgress progress(settings.model.layer, settings.steps);
  LmStep last;
  Ranks alone;
  const LmCallbacks callbacks{.begin =
                                  [&](std::int64_t done) {
                                    store.begin(spec, environment, done);
                                    progress.begin(done);
                                  },
                              .step =
                                  [&](const LmStep& step) {
                                    last = step;
                                    progress.step(step);
                                  },
                              .evaluation =
                                  [&](const LmEvaluation& evaluation, const LmStep& step) {
                                    store.add_epoch(id, {.epoch = evaluation.step,
                                                         .train_loss = last.loss,
                                                         .validation_loss = evaluation.loss,
                                                         .validation_accuracy = 0,
                                                         .learning_rate = step.learning_rate,
                                                         .seconds = step.seconds});
                                    progress.evaluation(evaluation);
                                  },
                              .stop_requested = [] { return InterruptGuard::count() > 0; },
                              .warning = [&](const std::string& line) { progress.note("zoo: warning: " + line); }};
  try {
    const LmOutcome outcome = train_lm(spec, corpus, options, callbacks, alone);
    store.finish(id, outcome.status, outcome.message, outcome.summary, outcome.slices);
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& failure) {
    if (store.find(id)) store.finish(id, RunStatus::failed, failure.what(), nullptr, {});
    throw;
  }
  return *store.find(id);
}

}  // namespace zoo
