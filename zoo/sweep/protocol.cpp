#include "zoo/sweep/protocol.h"

#include <cmath>
#include <limits>

#include "zoo/core/error.h"

namespace zoo {

namespace {

using nlohmann::json;

json write_number(double number) {
  if (std::isfinite(number)) return number;
  if (std::isnan(number)) return "nan";
  return number > 0 ? "inf" : "-inf";
}

double read_number(const json& number) {
  if (number.is_number()) return number.get<double>();
  const auto& text = number.get_ref<const std::string&>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  return text == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

json write(const SliceResult& slice) {
  return {{"split", slice.split},
          {"slice", slice.slice},
          {"accuracy", write_number(slice.accuracy)},
          {"loss", write_number(slice.loss)},
          {"state_bytes", slice.state_bytes},
          {"labelled", slice.labelled},
          {"metrics", slice.metrics}};
}

SliceResult read_slice(const json& slice) {
  return {.split = slice.at("split").get<std::string>(),
          .slice = slice.at("slice"),
          .accuracy = read_number(slice.at("accuracy")),
          .loss = read_number(slice.at("loss")),
          .state_bytes = slice.at("state_bytes").get<std::int64_t>(),
          .labelled = slice.at("labelled").get<std::int64_t>(),
          .metrics = slice.at("metrics")};
}

json write(const RunProgress& progress) {
  return {{"what", "progress"},
          {"epoch", progress.epoch},
          {"fraction", write_number(progress.fraction)},
          {"train_loss", write_number(progress.train_loss)}};
}

json write(const EpochResult& epoch) {
  return {{"what", "epoch"},
          {"epoch", epoch.epoch},
          {"train_loss", write_number(epoch.train_loss)},
          {"validation_loss", write_number(epoch.validation_loss)},
          {"validation_accuracy", write_number(epoch.validation_accuracy)},
          {"learning_rate", write_number(epoch.learning_rate)},
          {"seconds", write_number(epoch.seconds)}};
}

json write(const RunEnd& end) {
  json slices = json::array();
  for (const SliceResult& slice : end.slices) slices.push_back(write(slice));
  return {{"what", "end"},
          {"status", status_name(end.status)},
          {"message", end.message},
          {"summary", end.summary},
          {"slices", slices}};
}

RunStatus read_status(const std::string& name) {
  for (const RunStatus status :
       {RunStatus::running, RunStatus::done, RunStatus::diverged, RunStatus::failed, RunStatus::interrupted}) {
    if (status_name(status) == name) return status;
  }
  throw Error("'{}' is not the status of a run", name);
}

RunEnd read_end(const json& message) {
  RunEnd end{.status = read_status(message.at("status").get<std::string>()),
             .message = message.at("message").get<std::string>(),
             .summary = message.at("summary"),
             .slices = {}};
  for (const json& slice : message.at("slices")) end.slices.push_back(read_slice(slice));
  return end;
}

WorkerMessage read_known(const json& message) {
  const auto& what = message.at("what").get_ref<const std::string&>();
  if (what == "progress") {
    return RunProgress{.epoch = message.at("epoch").get<std::int64_t>(),
                       .fraction = read_number(message.at("fraction")),
                       .train_loss = read_number(message.at("train_loss"))};
  }
  if (what == "epoch") {
    return EpochResult{.epoch = message.at("epoch").get<std::int64_t>(),
                       .train_loss = read_number(message.at("train_loss")),
                       .validation_loss = read_number(message.at("validation_loss")),
                       .validation_accuracy = read_number(message.at("validation_accuracy")),
                       .learning_rate = read_number(message.at("learning_rate")),
                       .seconds = read_number(message.at("seconds"))};
  }
  return read_end(message);
}

// Paths and messages may hold any bytes; JSON is UTF-8.
std::string line_of(const json& message) {
  return message.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string write_request(const WorkerRequest& request) {
  return line_of({{"subject", request.spec.subject},
                  {"axes", request.spec.axes},
                  {"setting", request.spec.setting},
                  {"checkpoint", request.checkpoint_path},
                  {"pause_after", request.limits.pause_after},
                  {"end_after", request.limits.end_after}});
}

std::string write_message(const WorkerMessage& message) {
  return std::visit([](const auto& kind) { return line_of(write(kind)); }, message);
}

WorkerRequest read_request(const std::string& line) {
  try {
    const json request = json::parse(line);
    return {.spec = {.subject = request.at("subject"), .axes = request.at("axes"), .setting = request.at("setting")},
            .checkpoint_path = request.at("checkpoint").get<std::string>(),
            .limits = {.pause_after = request.at("pause_after").get<std::int64_t>(),
                       .end_after = request.at("end_after").get<std::int64_t>()}};
  } catch (const json::exception& error) {
    throw Error("a worker expects one line of JSON that describes a run on its standard input: {}", error.what());
  }
}

WorkerMessage read_message(const std::string& line) {
  try {
    return read_known(json::parse(line));
  } catch (const json::exception& error) {
    throw Error("a worker said '{}', which is not a record of a run: {}", line, error.what());
  }
}

}  // namespace zoo
