#pragma once

#include <filesystem>
#include <string>

#include "runners/lm/options.h"
#include "zoo/io/store.h"
#include "zoo/text/corpus.h"

namespace zoo {

/// One run of a language model as `zoo lm train`, `compare` and `ablate` make it: its folder is kept from being another
/// run's, it is trained with a line of progress, and the store learns how it ended. A run that the store has is not
/// made again. Ctrl-C ends it as `interrupted`, with a checkpoint. Throws UsageError for a folder of another run, and
/// what training throws, after the store has recorded the run as failed.
Run make_lm_run(const RunSpec& spec, const Corpus& corpus, const std::filesystem::path& folder,
                const LmRunRequest& request, Store& store, const std::string& command);

}  // namespace zoo
