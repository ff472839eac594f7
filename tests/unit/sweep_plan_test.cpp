#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <string>

#include "zoo/core/error.h"
#include "zoo/core/task.h"
#include "zoo/nn/backbone.h"
#include "zoo/sweep/forecast.h"
#include "zoo/sweep/plan.h"
#include "zoo/sweep/presets.h"
#include "zoo/train/settings.h"

namespace zoo {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Values = std::vector<std::pair<std::string, std::string>>;

std::vector<RunSpec> plan(const Values& given, const std::string& preset = "quick") {
  return plan_runs(read_sweep_settings({find_preset(preset).settings, {.origin = "a test", .values = given}}));
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no UsageError";
}

TEST(SweepPlan, PresetsHaveAsManyRunsAsTheirListsMultiplyTo) {
  EXPECT_EQ(plan({}, "quick").size(), 4U * 2);
  EXPECT_EQ(plan({}, "figure2-small").size(), 4U * 2 * 3 * 2);
  EXPECT_EQ(plan({}, "figure2").size(), 4U * 4 * 4 * 4);
  EXPECT_EQ(plan({}, "recall-memory").size(), (5U + 2) * 2 * 4);  // five windows of attention
}

// A built-in layer that is not in it would be missing in the report that shows them all.
TEST(SweepPlan, QuickAllHasEveryLayer) {
  std::set<std::string> planned;
  for (const RunSpec& run : plan({}, "quick-all")) {
    const auto layer = run.subject.at("layer").get<std::string>();
    planned.insert(layer.substr(layer.find('+') + 1));  // some stand behind a convolution, as base_conv+gla
  }
  std::set<std::string> registered;
  for (const std::string& name : layer_registry().names()) {
    if (name != "token_shift") registered.insert(name);  // the sample plugin
  }
  EXPECT_EQ(planned, registered);
}

TEST(SweepPlan, RunsAreDistinctAndReproducible) {
  std::set<std::string> ids;
  const auto runs = plan({{"seeds", "0,1"}}, "figure2");
  for (const RunSpec& run : runs) ids.insert(run.id());
  EXPECT_EQ(ids.size(), runs.size());
  const auto again = plan({{"seeds", "0,1"}}, "figure2");
  for (std::size_t i = 0; i < runs.size(); ++i) EXPECT_EQ(again[i].id(), runs[i].id());
}

TEST(SweepPlan, RecordsEveryOptionOfEveryPart) {
  for (const Preset& preset : presets()) {
    const auto runs = plan({}, preset.name);
    const nlohmann::json& setting = runs.front().setting;
    for (const OptionSpec& option : backbone_registry().get("recall").options.specs()) {
      EXPECT_EQ(setting.at("backbone_options").contains(option.name), option.recorded_at_default) << option.name;
    }
    for (const OptionSpec& option : task_registry().get("mqar").options.specs()) {
      const bool of_cell = option.name == "seq_len" || option.name == "kv_pairs";
      EXPECT_NE(setting.at("task_options").contains(option.name), of_cell) << option.name;
    }
    for (const RunSpec& run : runs) {
      for (const auto& [layer, options] : run.subject.at("layer_options").items()) {
        for (const OptionSpec& option : layer_registry().get(layer.substr(0, layer.find('#'))).options.specs()) {
          EXPECT_EQ(options.contains(option.name), option.recorded_at_default) << layer << "." << option.name;
        }
      }
    }
  }
}

TEST(SweepPlan, TheRecordIsAsTheStoreDocumentsIt) {
  const auto runs = plan({{"layers", "base_conv+attention"},
                          {"layer-option", "attention.heads=2"},
                          {"d-model", "32"},
                          {"seeds", "5"},
                          {"stop-accuracy", "none"}});
  ASSERT_EQ(runs.size(), 1U);
  const RunSpec& run = runs.front();
  EXPECT_EQ(run.subject.at("layer"), "base_conv+attention");
  EXPECT_EQ(run.subject.at("layer_options").at("attention").at("heads"), 2);
  EXPECT_EQ(run.subject.at("layer_options").at("attention").at("positions"), "learned");
  EXPECT_EQ(run.subject.at("layer_options").size(), 2U);
  EXPECT_EQ(run.axes.size(), 4U);
  EXPECT_EQ(run.axes.at("d_model"), 32);
  EXPECT_EQ(run.axes.at("lr"), 0.004);
  EXPECT_EQ(run.axes.at("seed"), 5);
  EXPECT_EQ(run.axes.at("cell"),
            nlohmann::json::parse(R"({"batch_size":32,"train":[{"seq_len":64,"kv_pairs":8,"examples":20000}],
                                      "test":[{"seq_len":64,"kv_pairs":8,"examples":1000}]})"));
  const nlohmann::json& setting = run.setting;
  EXPECT_EQ(setting.at("task"), "mqar");
  EXPECT_EQ(setting.at("task_options").at("vocab_size"), 256);
  EXPECT_TRUE(setting.at("stop_accuracy").is_null());
  EXPECT_EQ(setting.at("backbone_options"),
            nlohmann::json::parse(R"({"embedding_dropout":0.0,"dropout":0.0,"initial_scale":8.0})"));
  EXPECT_EQ(setting.at("optimizer"),
            nlohmann::json::parse(R"({"name":"adamw","beta1":0.9,"beta2":0.999,"epsilon":1e-8,"weight_decay":0.1})"));
  EXPECT_EQ(setting.at("schedule"), nlohmann::json::parse(R"({"name":"cosine","by":"epoch","warmup":0,"final":0})"));
  EXPECT_TRUE(setting.at("clip").is_null());
  EXPECT_EQ(setting.at("precision"), "f32");
}

// The id of a float32 run is what it was before there was a choice.
TEST(SweepPlan, ThePrecisionIsASetting) {
  SweepSettings settings = read_sweep_settings({find_preset("quick").settings});
  const RunSpec full = plan_runs(settings).front();
  EXPECT_EQ(full.id(), "2f829a25e6b4");
  for (const auto& [precision, name] : {std::pair{Precision::tf32, "tf32"}, std::pair{Precision::bf16, "bf16"}}) {
    settings.precision = precision;
    const RunSpec run = plan_runs(settings).front();
    EXPECT_EQ(run.setting.at("precision"), name);
    EXPECT_NE(run.id(), full.id());
    EXPECT_EQ(read_settings(run).precision, precision);
    nlohmann::json apart = run.setting;
    apart["precision"] = "f32";
    EXPECT_EQ(apart, full.setting) << "nothing else tells them apart";
  }
}

TEST(SweepPlan, CheapFirstAndLayersSideBySide) {
  const auto runs = plan({{"layers", "attention,base_conv"},
                          {"d-model", "64,32"},
                          {"seq-len", "128,64"},
                          {"batch-size", "8,4"},
                          {"seeds", "1,0"}});
  ASSERT_EQ(runs.size(), 16U);
  EXPECT_EQ(describe_run(runs[0]), "attention d_model 32 lr 0.004 seed 1 T 64 kv 8");
  EXPECT_EQ(describe_run(runs[1]), "base_conv d_model 32 lr 0.004 seed 1 T 64 kv 8");
  EXPECT_EQ(describe_run(runs[2]), "attention d_model 64 lr 0.004 seed 1 T 64 kv 8");
  EXPECT_EQ(describe_run(runs[4]), "attention d_model 32 lr 0.004 seed 1 T 128 kv 8");
  EXPECT_EQ(describe_run(runs[8]), "attention d_model 32 lr 0.004 seed 0 T 64 kv 8");
  EXPECT_EQ(runs[0].axes.at("cell").at("batch_size"), 4);
  EXPECT_EQ(describe_cell(plan({}, "recall-memory").front()), "T 64 to 256 kv 4 to 64");
}

TEST(SweepPlan, WrongNamesAndOptionsAreRefused) {
  EXPECT_THAT(message_of([] { plan({{"layers", "atention"}}); }), AllOf(HasSubstr("atention"), HasSubstr("attention")));
  EXPECT_THAT(message_of([] { plan({{"layers", "base_conv+attentoin"}}); }), HasSubstr("attention"));
  EXPECT_THAT(message_of([] { plan({{"layers", "attention+"}}); }), Not(HasSubstr("no UsageError")));
  EXPECT_THAT(message_of([] { plan({{"layers", "attention+base_conv+attention"}}); }), HasSubstr("--blocks 3"));
  EXPECT_THAT(message_of([] { plan({{"layers", "attention"}, {"option", "head=2"}}); }), HasSubstr("heads"));
  EXPECT_THAT(message_of([] { plan({{"layers", "attention"}, {"option", "heads=two"}}); }), HasSubstr("two"));
  EXPECT_THAT(message_of([] { plan({{"backbone", "recal"}}); }), HasSubstr("recall"));
  EXPECT_THAT(message_of([] { plan({{"backbone-option", "dropuot=0.1"}}); }), HasSubstr("dropout"));
  EXPECT_THAT(message_of([] { plan({{"feed-forward", "swigl"}}); }), HasSubstr("swiglu"));
  EXPECT_THAT(message_of([] { plan({{"feed-forward-option", "x=1"}}); }), HasSubstr("--feed-forward"));
  EXPECT_THAT(message_of([] { plan({{"task", "mqra"}}); }), HasSubstr("mqar"));
  EXPECT_THAT(message_of([] { plan({{"task-option", "seq_len=64"}}); }), HasSubstr("--seq-len"));
  EXPECT_THAT(message_of([] { plan({{"task-option", "num_pases=2"}}); }), HasSubstr("num_passes"));
  EXPECT_THAT(message_of([] { plan({{"vocab-size", "many"}}); }), HasSubstr("vocab_size"));
  EXPECT_THAT(message_of([] { plan({{"embedding-dropout", "2"}}); }), HasSubstr("embedding_dropout"));
}

TEST(SweepEstimates, AreAskedForOncePerWidthLayerAndCell) {
  const auto runs = plan({{"lr", "0.1,0.2"}, {"seeds", "0,1"}});
  int asked = 0;
  const auto estimates = estimate_runs(runs, [&](const RunSpec& run) {
    ++asked;
    return RunEstimate{.parameters = run.axes.at("d_model").get<std::int64_t>(), .state_bytes = 1, .flops = 2};
  });
  EXPECT_EQ(asked, 8);
  ASSERT_EQ(estimates.size(), runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) EXPECT_EQ(estimates[i].parameters, runs[i].axes.at("d_model"));
}

TEST(SweepEstimates, AllThatCannotBeMetIsListed) {
  const auto runs =
      plan({{"layers", "attention,base_conv"}, {"d-model", "32,33"}, {"seq-len", "64,16,32"}, {"kv-pairs", "8,8,12"}});
  const std::string message = message_of([&] {
    estimate_runs(runs, [](const RunSpec& run) -> RunEstimate {
      if (run.subject.at("layer") == "attention" && run.axes.at("d_model") == 33) throw UsageError("33 is odd");
      return {};
    });
  });
  // Two of three cells cannot be made (2 x 2 x 2 runs), and one of four models at the third.
  EXPECT_THAT(message, AllOf(HasSubstr("9 of 12 runs"), HasSubstr("T 16 kv 8"), HasSubstr("T 32 kv 12"),
                             HasSubstr("attention d_model 33 T 64 kv 8: 33 is odd"), Not(HasSubstr("d_model 32 T"))));
}

TEST(Forecast, SpeedsComeFromEarlierRunsOrFromMeasuring) {
  const auto runs = plan({{"layers", "attention,base_conv"}, {"d-model", "32,64"}});
  const std::vector<RunEstimate> estimates = {{10, 4, 100}, {10, 4, 50}, {20, 8, 200}, {20, 8, 150}};
  zoo::Run earlier{.id = {},
                   .spec = runs[0],
                   .status = RunStatus::done,
                   .message = {},
                   .environment = {},
                   .summary = {{"flops", 60.0}, {"train_seconds", 3.0}},
                   .started = {},
                   .finished = {},
                   .epochs = {},
                   .slices = {}};
  std::vector<RunSpec> measured;
  const auto speeds =
      training_speeds(runs, estimates, {earlier},
                      [&](const RunSpec& spec, const std::string& checkpoint, const RunCallbacks&, const RunLimits&) {
                        EXPECT_TRUE(checkpoint.empty());
                        measured.push_back(spec);
                        return RunOutcome{RunStatus::done, "", {{"flops", 50.0}, {"train_seconds", 0.5}}, {}};
                      });
  EXPECT_EQ(speeds.at("attention d_model 32").flops_per_second, 20);
  EXPECT_EQ(speeds.at("base_conv d_model 64").flops_per_second, 100);
  EXPECT_EQ(speeds.size(), 4U);
  ASSERT_EQ(measured.size(), 3U * 3);  // the best of three
  EXPECT_EQ(measured[0].axes.at("d_model"), 64);
  EXPECT_EQ(measured[0].axes.at("cell").at("train")[0].at("examples"), 64);

  // attention d 32: 5 s, base_conv d 32: done, attention d 64: 2 s, base_conv d 64: 1.5 s.
  const std::string table = forecast_table(runs, estimates, {false, true, false, false}, speeds, 2);
  EXPECT_THAT(table, AllOf(HasSubstr("attention d_model 64 lr 0.004 seed 0 T 64 kv 8"), HasSubstr("done already"),
                           HasSubstr("4 runs, 1 done already; the other 3 take at most 5 s on 2 workers"),
                           HasSubstr("1 earlier run in the store")));
}

}  // namespace
}  // namespace zoo
