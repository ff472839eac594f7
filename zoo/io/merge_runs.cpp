#include "zoo/io/merge_runs.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace zoo {

namespace {

bool has_result(const Run& run) {
  return run.status == RunStatus::done || run.status == RunStatus::diverged;
}

bool further(const Run& a, const Run& b) {
  const auto progress = [](const Run& run) { return std::tuple(has_result(run), run.epochs.size()); };
  return progress(a) != progress(b) ? progress(a) > progress(b) : a.started < b.started;
}

}  // namespace

std::vector<Run> merge_runs(std::vector<std::vector<Run>> stores) {
  std::vector<Run> all;
  std::unordered_map<std::string, std::size_t> places;
  for (std::vector<Run>& store : stores) {
    for (Run& run : store) {
      const auto [place, is_new] = places.try_emplace(run.id, all.size());
      if (is_new) {
        all.push_back(std::move(run));
      } else if (further(run, all[place->second])) {
        all[place->second] = std::move(run);
      }
    }
  }
  // A single store has its own order, which times of whole seconds do not show.
  if (stores.size() > 1) std::ranges::stable_sort(all, {}, &Run::started);
  return all;
}

}  // namespace zoo
