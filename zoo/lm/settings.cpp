#include "zoo/lm/settings.h"

#include <cmath>

#include "zoo/core/error.h"
#include "zoo/io/record_reader.h"
#include "zoo/train/schedule.h"
#include "zoo/train/settings.h"

namespace zoo {

namespace {

using nlohmann::json;

void read_schedule(const json& object, LmSettings& settings) {
  RecordReader reader(object, "setting.schedule");
  const auto name = reader.get<std::string>("name");
  const auto by = reader.get<std::string>("by");
  if (name != "cosine" || by != "step") {
    throw UsageError("unknown schedule '{}' by '{}' for a language model; known is cosine by step", name, by);
  }
  settings.warmup_steps = reader.get<std::int64_t>("warmup");
  settings.final_learning_rate = reader.get<double>("final");
  reader.finish();
}

void read_corpus(const json& object, LmSettings& settings) {
  RecordReader reader(object, "setting.corpus");
  settings.corpus_hash = reader.get<std::string>("hash");
  reader.get<std::string>("tokenizer");
  settings.model.vocab_size = reader.get<std::int64_t>("vocab_size");
  reader.finish();
}

void at_least(std::int64_t value, std::int64_t minimum, const char* what) {
  if (value < minimum) throw UsageError("{} is {}, it must be at least {}", what, value, minimum);
}

void check(const LmSettings& settings, std::int64_t batch_tokens) {
  if (!std::isfinite(settings.learning_rate) || settings.learning_rate <= 0) {
    throw UsageError("the learning rate is {}, it must be a positive number", settings.learning_rate);
  }
  if (!std::isfinite(settings.final_learning_rate) || settings.final_learning_rate < 0) {
    throw UsageError("the final learning rate is {}, it must not be negative", settings.final_learning_rate);
  }
  at_least(settings.steps, 1, "the number of steps");
  at_least(settings.context, 1, "the context");
  at_least(settings.warmup_steps, 0, "the number of warm-up steps");
  at_least(settings.validation_tokens, 1, "the number of validation tokens");
  at_least(settings.evaluate_every, 1, "the number of steps between evaluations");
  if (batch_tokens < settings.context || batch_tokens % settings.context != 0) {
    throw UsageError("a batch of {} tokens is no whole number of sequences of {}; use a multiple of the context",
                     batch_tokens, settings.context);
  }
}

}  // namespace

LmSettings read_lm_settings(const RunSpec& spec) {
  LmSettings settings;
  RecordReader subject(spec.subject, "subject");
  settings.model.layer = subject.get<std::string>("layer");
  settings.model.layer_options = subject.raw("layer_options");
  subject.finish();
  RecordReader axes(spec.axes, "axes");
  settings.model.d_model = axes.get<std::int64_t>("d_model");
  settings.learning_rate = axes.get<double>("lr");
  settings.seed = axes.get<std::uint64_t>("seed");
  axes.finish();

  RecordReader setting(spec.setting, "setting");
  if (const auto task = setting.get<std::string>("task"); task != "lm") {
    throw UsageError("the record is of a run of task '{}', not of a language model", task);
  }
  read_corpus(setting.raw("corpus"), settings);
  settings.context = setting.get<std::int64_t>("context");
  const auto batch_tokens = setting.get<std::int64_t>("batch_tokens");
  settings.steps = setting.get<std::int64_t>("steps");
  settings.validation_tokens = setting.get<std::int64_t>("validation_tokens");
  settings.evaluate_every = setting.get<std::int64_t>("evaluate_every");
  settings.model.blocks = setting.get<std::int64_t>("blocks");
  settings.model.backbone = setting.get<std::string>("backbone");
  settings.model.backbone_options = setting.raw("backbone_options");
  settings.model.feed_forward = setting.get<std::string>("feed_forward");
  settings.model.feed_forward_options = setting.raw("feed_forward_options");
  settings.model.tied_head = setting.get<bool>("tied_head");
  settings.optimizer = read_optimizer(setting.raw("optimizer"), setting.raw("clip"));
  read_schedule(setting.raw("schedule"), settings);
  settings.precision = parse_recorded_precision(setting.get<std::string>("precision"));
  setting.finish();

  check(settings, batch_tokens);
  settings.batch_sequences = batch_tokens / settings.context;
  settings.model.max_length = settings.context;
  return settings;
}

double LmSettings::learning_rate_at(std::int64_t step) const {
  if (step < warmup_steps) return learning_rate * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const auto after = static_cast<double>(std::max<std::int64_t>(steps - warmup_steps, 1));
  return cosine_between(learning_rate, final_learning_rate, static_cast<double>(step - warmup_steps) / after);
}

}  // namespace zoo
