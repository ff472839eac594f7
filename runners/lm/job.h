#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "runners/lm/options.h"
#include "zoo/core/collective.h"
#include "zoo/io/store.h"
#include "zoo/sweep/lock.h"
#include "zoo/text/corpus.h"

namespace zoo {

/// Where `zoo lm train`, `compare` and `ablate` make their runs: on this process, or on all of an MPI job. Rank 0 alone
/// has the store, and writes.
class LmJob {
 public:
  /// Opens the store, and locks it.
  LmJob(Collective& ranks, const std::string& store_path);

  /// One run: its folder is kept from being another run's, it is trained with a line of progress, and the store learns
  /// how it ended. A run that the store has is not made again. Ctrl-C ends it as `interrupted`, with a checkpoint.
  /// Throws UsageError for a folder of another run, and what training throws, after the store has recorded the run as
  /// failed. On other ranks than 0 the result has a status alone.
  Run make(const RunSpec& spec, const Corpus& corpus, const std::filesystem::path& folder, const LmRunRequest& request,
           const std::string& command);

  bool leads() const { return ranks_->rank() == 0; }

 private:
  RunStatus share(RunStatus status);

  Collective* ranks_;
  std::string store_path_;
  std::optional<StoreLock> lock_;
  std::optional<Store> store_;
};

/// Runs `work` with the processes of this MPI job, or alone. What it throws on one rank ends them all, with the
/// message.
int with_ranks(const std::function<int(Collective&)>& work);

}  // namespace zoo
