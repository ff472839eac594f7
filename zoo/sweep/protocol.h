#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "zoo/io/store.h"
#include "zoo/train/run.h"

/// What the parent of a sweep and its workers say to each other: one line of JSON each. Numbers survive bit for bit;
/// those that JSON lacks are the texts "nan", "inf" and "-inf".
namespace zoo {

/// What a worker is asked to do.
struct WorkerRequest {
  RunSpec spec;
  std::string checkpoint_path;
  RunLimits limits = {};
};

/// How a run ended: its outcome, or `failed` with the reason.
using RunEnd = RunOutcome;

/// What a worker says.
using WorkerMessage = std::variant<RunProgress, EpochResult, RunEnd>;

std::string write_request(const WorkerRequest& request);
std::string write_message(const WorkerMessage& message);
/// Both throw Error for a line that the other one did not write.
WorkerRequest read_request(const std::string& line);
WorkerMessage read_message(const std::string& line);

}  // namespace zoo
