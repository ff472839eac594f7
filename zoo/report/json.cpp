#include "zoo/report/json.h"

#include <cmath>

#include "zoo/core/version.h"

namespace zoo::report {

namespace {

using nlohmann::json;

// The writer would write null too, but a reader of this object in memory would see a number.
json number_or_null(double value) {
  return std::isfinite(value) ? json(value) : json();
}

json estimate_json(const Estimate& estimate) {
  return {{"mean", number_or_null(estimate.mean)},
          {"half_width", number_or_null(estimate.half_width)},
          {"count", estimate.count}};
}

json run_json(const Run& run) {
  json epochs = json::array();
  for (const EpochResult& epoch : run.epochs) {
    epochs.push_back({{"epoch", epoch.epoch},
                      {"train_loss", number_or_null(epoch.train_loss)},
                      {"validation_loss", number_or_null(epoch.validation_loss)},
                      {"validation_accuracy", number_or_null(epoch.validation_accuracy)},
                      {"learning_rate", number_or_null(epoch.learning_rate)},
                      {"seconds", number_or_null(epoch.seconds)}});
  }
  json slices = json::array();
  for (const SliceResult& slice : run.slices) {
    slices.push_back({{"split", slice.split},
                      {"slice", slice.slice},
                      {"accuracy", number_or_null(slice.accuracy)},
                      {"loss", number_or_null(slice.loss)},
                      {"state_bytes", slice.state_bytes},
                      {"labelled", slice.labelled},
                      {"metrics", slice.metrics}});
  }
  return {{"id", run.id},
          {"subject", run.spec.subject},
          {"axes", run.spec.axes},
          {"setting", run.spec.setting},
          {"status", status_name(run.status)},
          {"message", run.message},
          {"environment", run.environment},
          {"summary", run.summary},
          {"started", run.started},
          {"finished", run.finished},
          {"epochs", std::move(epochs)},
          {"slices", std::move(slices)}};
}

json ids(std::span<const Run> runs, const std::vector<std::size_t>& indices) {
  json all = json::array();
  for (const std::size_t index : indices) all.push_back(runs[index].id);
  return all;
}

json result_json(std::span<const Run> runs, const Column& column, const Result& result,
                 const std::vector<RateScore>& rates) {
  json scores = json::array();
  for (const RateScore& score : rates) {
    scores.push_back({{"learning_rate", number_or_null(score.learning_rate)},
                      {"validation_accuracy", estimate_json(score.accuracy)},
                      {"validation_loss", number_or_null(score.loss)},
                      {"diverged", score.diverged},
                      {"chosen", score.chosen}});
  }
  return {{"column", column.label},
          {"slice", column.slice},
          {"cell", column.cell},
          {"accuracy", estimate_json(result.accuracy)},
          {"learning_rate", number_or_null(result.learning_rate)},
          {"state_bytes", result.state_bytes ? json(*result.state_bytes) : json()},
          {"parameters", result.parameters ? json(*result.parameters) : json()},
          {"diverged", result.diverged},
          {"missing_seeds", result.missing},
          {"complete", result.complete()},
          {"learning_rates", std::move(scores)},
          {"runs", ids(runs, result.runs)}};
}

json table_json(std::span<const Run> runs, const Table& table) {
  json columns = json::array();
  for (const Column& column : table.columns) columns.push_back(column.label);
  json rows = json::array();
  for (const Row& row : table.rows) {
    const Subject& subject = table.subjects[row.subject];
    json results = json::array();
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      results.push_back(result_json(runs, table.columns[i], row.results[i], row.rates[i]));
    }
    rows.push_back({{"label", subject.label}, {"subject", subject.json}, {"axes", row.axes}, {"results", results}});
  }
  return {{"setting", table.setting},
          {"columns", std::move(columns)},
          {"rows", std::move(rows)},
          {"runs", ids(runs, table.runs)}};
}

}  // namespace

json results_json(std::span<const Run> runs, const Summary& summary, const std::string& command) {
  json all = {{"zoo", version}, {"command", command}, {"runs", json::array()}, {"tables", json::array()}};
  for (const Run& run : runs) all["runs"].push_back(run_json(run));
  for (const Table& table : summary.tables) all["tables"].push_back(table_json(runs, table));
  return all;
}

}  // namespace zoo::report
