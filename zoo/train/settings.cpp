#include "zoo/train/settings.h"

#include <algorithm>
#include <cmath>

#include "zoo/core/error.h"
#include "zoo/io/record_reader.h"
#include "zoo/train/schedule.h"

namespace zoo {

namespace {

using nlohmann::json;

std::vector<TaskPart> read_parts(const json& parts, const char* which, const std::string& task, const json& options) {
  if (!parts.is_array() || parts.empty()) throw UsageError("the record's axes.cell.{} names no examples", which);
  std::vector<TaskPart> result;
  for (const json& part : parts) {
    TaskPart one;
    one.cell = part;
    one.examples = RecordReader(part, std::string("axes.cell.") + which).get<std::uint64_t>("examples");
    if (one.examples == 0) throw UsageError("the number of {} examples is 0, it must be at least 1", which);
    one.cell.erase("examples");
    json all = options;
    all.update(one.cell);
    one.task = make_task(task, all);
    check_example_count(*one.task, parse_split(which), one.examples);
    result.push_back(std::move(one));
  }
  return result;
}

// One model reads all parts: what it reads and says must be the same.
void check_one_model(const RunSettings& settings) {
  const Task& first = *settings.train[0].task;
  for (const auto* parts : {&settings.train, &settings.test, &settings.validation}) {
    for (const TaskPart& part : *parts) {
      const HeadSpec head = part.task->head();
      if (part.task->vocab_size() != first.vocab_size()) {
        throw UsageError("the parts of a run have different vocabularies: {} and {} tokens", first.vocab_size(),
                         part.task->vocab_size());
      }
      if (part.task->input_channels() != first.input_channels() || head.kind != first.head().kind ||
          head.outputs != first.head().outputs) {
        throw UsageError("the parts of a run have different inputs or different heads, {} of {} and {} of {} outputs",
                         head_kind_name(first.head().kind), first.head().outputs, head_kind_name(head.kind),
                         head.outputs);
      }
    }
  }
}

void read_schedule(const json& object, RunSettings& settings) {
  RecordReader reader(object, "setting.schedule");
  const auto name = reader.get<std::string>("name");
  const auto by = reader.get<std::string>("by");
  if ((name != "cosine" && name != "constant") || (by != "epoch" && by != "step")) {
    throw UsageError("unknown schedule '{}' by '{}'; known are cosine and constant, by epoch or step", name, by);
  }
  settings.constant_rate = name == "constant";
  settings.schedule_by_step = by == "step";
  settings.warmup_steps = reader.get<std::int64_t>("warmup");
  settings.final_learning_rate = reader.get<double>("final");
  reader.finish();
}

void check(const RunSettings& settings) {
  if (!std::isfinite(settings.learning_rate) || settings.learning_rate <= 0) {
    throw UsageError("the learning rate is {}, it must be a positive number", settings.learning_rate);
  }
  if (settings.epochs < 1) throw UsageError("the number of epochs is {}, it must be at least 1", settings.epochs);
  if (settings.batch_size < 1) throw UsageError("the batch size is {}, it must be at least 1", settings.batch_size);
}

}  // namespace

AdamWOptions read_optimizer(const json& object, const json& clip) {
  RecordReader reader(object, "setting.optimizer");
  if (const auto name = reader.get<std::string>("name"); name != "adamw") {
    throw UsageError("unknown optimizer '{}'; known is adamw", name);
  }
  AdamWOptions options{.beta1 = reader.get<double>("beta1"),
                       .beta2 = reader.get<double>("beta2"),
                       .epsilon = reader.get<double>("epsilon"),
                       .weight_decay = reader.get<double>("weight_decay"),
                       .clip = {}};
  reader.finish();
  if (!clip.is_null()) options.clip = clip.get<double>();
  return options;
}

RunSettings read_settings(const RunSpec& spec) {
  RunSettings settings;
  RecordReader subject(spec.subject, "subject");
  settings.model.layer = subject.get<std::string>("layer");
  settings.model.layer_options = subject.raw("layer_options");
  RecordReader axes(spec.axes, "axes");
  // A width that was chosen to match others belongs to the subject.
  const bool own_width = !spec.axes.is_object() || !spec.axes.contains("d_model");
  settings.model.d_model = own_width && spec.subject.contains("d_model") ? subject.get<std::int64_t>("d_model")
                                                                         : axes.get<std::int64_t>("d_model");
  subject.finish();
  settings.learning_rate = axes.get<double>("lr");
  settings.seed = axes.get<std::uint64_t>("seed");
  const json& axes_cell = axes.raw("cell");
  RecordReader cell(axes_cell, "axes.cell");
  axes.finish();

  RecordReader setting(spec.setting, "setting");
  const auto task = setting.get<std::string>("task");
  const json& task_options = setting.raw("task_options");
  settings.epochs = setting.get<std::int64_t>("epochs");
  if (const json& stop = setting.raw("stop_accuracy"); !stop.is_null()) settings.stop_accuracy = stop.get<double>();
  settings.model.backbone = setting.get<std::string>("backbone");
  settings.model.backbone_options = setting.raw("backbone_options");
  settings.model.feed_forward = setting.get<std::string>("feed_forward");
  settings.model.feed_forward_options = setting.raw("feed_forward_options");
  settings.model.blocks = setting.get<std::int64_t>("blocks");
  settings.optimizer = read_optimizer(setting.raw("optimizer"), setting.raw("clip"));
  read_schedule(setting.raw("schedule"), settings);
  settings.precision = parse_recorded_precision(setting.get<std::string>("precision"));
  if (spec.setting.contains("search")) setting.raw("search");  // which runs go on is the sweep's to know
  settings.fresh_data = setting.get_or("fresh_data", false);
  settings.model.tied_head = setting.get_or("tied_head", true);
  setting.finish();

  settings.batch_size = cell.get<std::int64_t>("batch_size");
  settings.train = read_parts(cell.raw("train"), "train", task, task_options);
  settings.test = read_parts(cell.raw("test"), "test", task, task_options);
  const bool own = axes_cell.contains("validation");
  settings.validation = read_parts(cell.raw(own ? "validation" : "test"), "validation", task, task_options);
  cell.finish();

  check_one_model(settings);
  const Task& first = *settings.train[0].task;
  settings.model.vocab_size = first.vocab_size();
  settings.model.input_channels = first.input_channels();
  settings.model.head = first.head();
  for (const auto* parts : {&settings.train, &settings.test, &settings.validation}) {
    for (const TaskPart& part : *parts) {
      const std::int64_t sequence = part.task->seq_len() / sequences_an_example(settings.model.head.kind);
      settings.model.max_length = std::max(settings.model.max_length, sequence);
    }
  }
  check(settings);
  return settings;
}

std::int64_t RunSettings::steps_per_epoch() const {
  std::int64_t steps = 0;
  for (const TaskPart& part : train) steps += (static_cast<std::int64_t>(part.examples) + batch_size - 1) / batch_size;
  return steps;
}

double RunSettings::learning_rate_at(std::int64_t step) const {
  if (step < warmup_steps) return learning_rate * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  if (constant_rate) return learning_rate;
  const std::int64_t epoch_steps = steps_per_epoch();
  const double done = schedule_by_step
                          ? static_cast<double>(step - warmup_steps) /
                                static_cast<double>(std::max<std::int64_t>(epochs * epoch_steps - warmup_steps, 1))
                          : static_cast<double>(step / epoch_steps) / static_cast<double>(epochs);
  return cosine_between(learning_rate, final_learning_rate, done);
}

}  // namespace zoo
