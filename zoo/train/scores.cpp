#include "zoo/train/scores.h"

#include <algorithm>

namespace zoo {

void Score::add(double label_loss, bool right) {
  loss += label_loss;
  correct += right ? 1 : 0;
  ++labelled;
}

Score& Score::operator+=(const Score& more) {
  loss += more.loss;
  correct += more.correct;
  labelled += more.labelled;
  return *this;
}

double Score::accuracy() const {
  return static_cast<double>(correct) / static_cast<double>(std::max<std::int64_t>(labelled, 1));
}

double Score::mean_loss() const {
  return loss / static_cast<double>(std::max<std::int64_t>(labelled, 1));
}

Scores& Scores::operator+=(const Scores& more) {
  all += more.all;
  groups.resize(std::max(groups.size(), more.groups.size()));
  for (std::size_t i = 0; i < more.groups.size(); ++i) groups[i] += more.groups[i];
  for (const auto& [label, score] : more.classes) classes[label] += score;
  sequences += more.sequences;
  sequences_correct += more.sequences_correct;
  return *this;
}

nlohmann::json metrics_of(const Task& task, const Scores& scores) {
  nlohmann::json metrics = nlohmann::json::object();
  if (task.head().kind != HeadKind::regression && !scores.classes.empty()) {
    double sum = 0;
    for (const auto& [label, score] : scores.classes) sum += score.accuracy();
    metrics["class_accuracy"] = sum / static_cast<double>(scores.classes.size());
  }
  if (scores.sequences > 0 && scores.all.labelled > scores.sequences) {
    metrics["sequence_accuracy"] =
        static_cast<double>(scores.sequences_correct) / static_cast<double>(scores.sequences);
  }
  const std::vector<Slice> names = task.groups();
  for (std::size_t group = 0; group < scores.groups.size() && group < names.size(); ++group) {
    const Score& score = scores.groups[group];
    if (score.labelled == 0) continue;
    metrics["groups"].push_back({{names[group].name, names[group].value},
                                 {"accuracy", score.accuracy()},
                                 {"loss", score.mean_loss()},
                                 {"labelled", score.labelled}});
  }
  return metrics;
}

}  // namespace zoo
