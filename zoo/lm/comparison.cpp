#include "zoo/lm/comparison.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "zoo/core/error.h"
#include "zoo/lm/plan.h"
#include "zoo/report/statistics.h"

namespace zoo {

namespace {

using nlohmann::json;

// The mean over a subject's finished runs of what `value` finds in each; nothing when it finds nothing in any.
template <typename Value>
std::optional<report::Estimate> over_runs(const LmSubject& subject, const Value& value) {
  std::vector<double> values;
  for (const LmRunRecord& record : subject.runs) {
    if (record.run.slices.empty()) continue;
    if (const std::optional<double> one = value(record)) values.push_back(*one);
  }
  return values.empty() ? std::nullopt : std::optional(report::estimate(values));
}

std::optional<double> part_loss(const LmRunRecord& record, const char* part) {
  const json& metrics = record.run.slices.front().metrics;
  if (!metrics.contains(part) || metrics.at(part).at("loss").is_null()) return std::nullopt;
  return metrics.at(part).at("loss").get<double>();
}

std::optional<double> exp_mean(const std::optional<report::Estimate>& loss) {
  return loss ? std::optional(std::exp(loss->mean)) : std::nullopt;
}

// Perplexity is the exponential of the mean loss, over seeds too.
std::optional<LmFigure> perplexity_of(const LmSubject& subject) {
  const auto loss =
      over_runs(subject, [](const LmRunRecord& record) { return std::optional(record.run.slices.front().loss); });
  if (!loss) return std::nullopt;
  LmFigure figure{.value = std::exp(loss->mean)};
  if (loss->has_interval()) {
    figure.low = std::exp(loss->mean - loss->half_width);
    figure.high = std::exp(loss->mean + loss->half_width);
  } else if (subject.runs.size() == 1) {
    const json& interval = subject.runs.front().run.slices.front().metrics.at("perplexity_interval");
    if (interval.is_array()) {
      figure.low = interval[0].get<double>();
      figure.high = interval[1].get<double>();
    }
  }
  return figure;
}

std::string status_of(const LmSubject& subject) {
  std::string text;
  for (const LmRunRecord& record : subject.runs) {
    if (record.run.status == RunStatus::done) continue;
    if (!text.empty()) text += "; ";
    text += std::string(status_name(record.run.status)) + ": " + record.run.message;
  }
  return text;
}

double summary_mean(const LmSubject& subject, const char* key) {
  double sum = 0;
  int count = 0;
  for (const LmRunRecord& record : subject.runs) {
    if (!record.run.summary.is_object() || !record.run.summary.contains(key)) continue;
    sum += record.run.summary.at(key).get<double>();
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

}  // namespace

LmRunRecord read_lm_run(const Run& run, const std::filesystem::path& folder) {
  LmRunRecord record{.run = run, .steps = {}, .evaluations = {}};
  std::ifstream file(folder / "log.jsonl");
  for (std::string line; std::getline(file, line);) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || !entry.contains("step")) continue;
    const auto number = [&](const char* key) {
      return entry.value(key, json()).is_number() ? entry[key].get<double>() : 0;
    };
    const auto step = static_cast<std::int64_t>(number("step"));
    if (entry.contains("loss")) {
      record.steps.push_back({.step = step,
                              .loss = number("loss"),
                              .learning_rate = number("learning_rate"),
                              .tokens = static_cast<std::int64_t>(number("tokens")),
                              .flops = number("flops"),
                              .seconds = number("seconds"),
                              .tokens_per_second = number("tokens_per_second")});
    } else if (entry.contains("validation_loss")) {
      record.evaluations.push_back(
          {.step = step, .loss = number("validation_loss"), .perplexity = number("perplexity")});
    }
  }
  return record;
}

std::vector<std::vector<LmSubject>> group_comparable(std::vector<LmRunRecord> records) {
  std::vector<std::vector<LmSubject>> groups;
  for (LmRunRecord& record : records) {
    const RunSpec& spec = record.run.spec;
    const auto fits = [&](const std::vector<LmSubject>& group) {
      RunSpec other = group.front().runs.front().run.spec;
      other.axes["seed"] = spec.axes.at("seed");
      return lm_differences(other, spec).empty();
    };
    auto group = std::ranges::find_if(groups, fits);
    if (group == groups.end()) group = groups.emplace(groups.end());
    const auto same = std::ranges::find_if(
        *group, [&](const LmSubject& subject) { return subject.runs.front().run.spec.subject == spec.subject; });
    if (same != group->end()) {
      same->runs.push_back(std::move(record));
      continue;
    }
    const auto layer = spec.subject.at("layer").get<std::string>();
    const auto namesakes = std::ranges::count_if(
        *group, [&](const LmSubject& subject) { return subject.runs.front().run.spec.subject.at("layer") == layer; });
    group->push_back({.label = namesakes > 0 ? fmt::format("{} ({})", layer, namesakes + 1) : layer,
                      .published = "",
                      .runs = {std::move(record)}});
  }
  return groups;
}

void check_comparable(std::span<const LmSubject> subjects, bool backbones) {
  std::map<std::uint64_t, std::pair<std::string, std::string>> hashes;  // by seed: the hash, and whose
  const RunSpec* first = nullptr;
  for (const LmSubject& subject : subjects) {
    for (const LmRunRecord& record : subject.runs) {
      if (first == nullptr) first = &record.run.spec;
      RunSpec spec = record.run.spec;
      spec.axes["seed"] = first->axes.at("seed");
      if (backbones) {
        for (const char* key : {"backbone", "backbone_options"}) spec.setting[key] = first->setting.at(key);
      }
      if (const auto differences = lm_differences(*first, spec); !differences.empty()) {
        throw UsageError("{} and {} were not trained under identical settings and are not compared: {}",
                         subjects.front().label, subject.label, fmt::join(differences, "; "));
      }
      if (record.run.status != RunStatus::done) continue;
      const auto seed = record.run.spec.axes.at("seed").get<std::uint64_t>();
      const auto hash = record.run.summary.at("data_hash").get<std::string>();
      const auto [known, is_new] = hashes.try_emplace(seed, hash, subject.label);
      if (!is_new && known->second.first != hash) {
        throw UsageError("{} and {} have not seen the same data under seed {} (hashes {} and {}) and are not compared",
                         known->second.second, subject.label, seed, known->second.first, hash);
      }
    }
  }
}

std::vector<LmRow> compare_lm(std::span<const LmSubject> subjects) {
  std::vector<LmRow> rows;
  for (const LmSubject& subject : subjects) {
    LmRow row{.label = subject.label, .published = subject.published, .status = status_of(subject)};
    row.parameters = static_cast<std::int64_t>(summary_mean(subject, "parameters"));
    row.peak_bytes = static_cast<std::int64_t>(summary_mean(subject, "peak_bytes"));
    row.flops = summary_mean(subject, "flops");
    row.seconds = summary_mean(subject, "train_seconds");
    row.tokens_per_second = row.seconds > 0 ? summary_mean(subject, "tokens") / row.seconds : 0;
    row.perplexity = perplexity_of(subject);
    row.recall_perplexity =
        exp_mean(over_runs(subject, [](const LmRunRecord& record) { return part_loss(record, "recall"); }));
    row.other_perplexity =
        exp_mean(over_runs(subject, [](const LmRunRecord& record) { return part_loss(record, "other"); }));
    for (const LmRunRecord& record : subject.runs) {
      if (!record.run.slices.empty()) row.state_bytes = record.run.slices.front().state_bytes;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace zoo
