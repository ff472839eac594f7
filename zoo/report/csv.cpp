#include "zoo/report/csv.h"

#include "zoo/report/format.h"
#include "zoo/report/names.h"

namespace zoo::report {

namespace {

using nlohmann::json;

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text(1, '"');
  for (const char c : field) text.append(c == '"' ? 2 : 1, c);
  text += '"';
  return text;
}

// A member as text: as it is for strings, shortest exact form for numbers, empty when there is none.
std::string member(const json& object, const char* key) {
  const json value = field(object, key);
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_float() ? format_exact(value.get<double>()) : format_value(value);
}

std::string options(const json& subject) {
  const json layers = field(subject, "layer_options");
  if (layers.is_null()) return "{}";
  return format_value(layers.is_object() && layers.size() == 1 ? layers.front() : layers);
}

// The slice of a run that has no figures, when its cell has but one.
json announced_slice(const Run& run) {
  const json test = field(field(run.spec.axes, "cell"), "test");
  json slice = test.is_array() && test.size() == 1 ? test.front() : json();
  if (slice.is_object()) slice.erase("examples");
  return slice;
}

}  // namespace

std::string csv_line(const std::vector<std::string>& fields) {
  std::string text;
  for (const std::string& field : fields) {
    if (&field != &fields.front()) text += ',';
    text += quoted(field);
  }
  return text + "\n";
}

std::string results_csv(std::span<const Run> runs) {
  std::string text = csv_line({"run_id",     "layer",       "layer_options", "d_model",        "lr",
                               "seed",       "seq_len",     "kv_pairs",      "accuracy",       "loss",
                               "parameters", "state_bytes", "flops",         "epochs",         "train_seconds",
                               "status",     "task",        "slice",         "class_accuracy", "sequence_accuracy"});
  for (const Run& run : runs) {
    const json& axes = run.spec.axes;
    std::string d_model = member(axes, "d_model");
    if (d_model.empty()) d_model = member(run.spec.subject, "d_model");
    const auto row = [&](const json& slice, const SliceResult* figures) {
      const bool has = figures != nullptr;
      text += csv_line({run.id,
                        member(run.spec.subject, "layer"),
                        options(run.spec.subject),
                        d_model,
                        member(axes, "lr"),
                        member(axes, "seed"),
                        member(slice, "seq_len"),
                        member(slice, "kv_pairs"),
                        has ? format_exact(figures->accuracy) : "",
                        has ? format_exact(figures->loss) : "",
                        member(run.summary, "parameters"),
                        has ? std::to_string(figures->state_bytes) : "",
                        member(run.summary, "flops"),
                        member(run.summary, "epochs"),
                        member(run.summary, "train_seconds"),
                        std::string(status_name(run.status)),
                        member(run.spec.setting, "task"),
                        slice.is_null() ? "" : format_value(slice),
                        has ? member(figures->metrics, "class_accuracy") : "",
                        has ? member(figures->metrics, "sequence_accuracy") : ""});
    };
    bool any = false;
    for (const SliceResult& slice : run.slices) {
      if (slice.split != "test") continue;
      row(slice.slice, &slice);
      any = true;
    }
    if (!any) row(announced_slice(run), nullptr);
  }
  return text;
}

}  // namespace zoo::report
