#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>

#include "zoo/core/plugin_file.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/core/task.h"
#include "zoo/nn/backbone.h"

namespace zoo {

namespace {

constexpr std::int64_t default_width = 64;

/// Standard output as it was, while the plugin's own output goes to standard error.
class Report {
 public:
  Report() : file_(::fdopen(::dup(STDOUT_FILENO), "w")) { ::dup2(STDERR_FILENO, STDOUT_FILENO); }
  void step(const std::string& text) {
    step_ = text;
    line(text);
  }
  /// What open_plugin throws says it all; what else is thrown needs the step.
  void refuse(const std::string& reason) {
    line("refused: " + (step_.starts_with("opening") ? reason : fmt::format("failed while {}: {}", step_, reason)));
  }

 private:
  void line(const std::string& text) {
    fmt::print(file_, "{}\n", text);
    std::fflush(file_);
  }

  std::FILE* file_;
  std::string step_;
};

/// The parent must see what happens, also where a sanitizer would step in, and nothing must stay behind.
void prepare_for_the_worst() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core_file{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core_file);
  std::ofstream("/proc/self/oom_score_adj") << 1000;  // if it takes all memory, it is the one to go
  for (const int fault : {SIGSEGV, SIGFPE, SIGBUS, SIGILL, SIGABRT}) ::signal(fault, SIG_DFL);
}

void construct_layers(Report& report, std::string_view kind, const Registry<LayerEntry>& registry, std::size_t first) {
  for (std::size_t i = first; i < registry.entries().size(); ++i) {
    const LayerEntry& entry = registry.entries()[i];
    std::vector<LayerCase> cases = entry.test_cases;
    cases.insert(cases.begin(), LayerCase{.d_model = cases.empty() ? default_width : cases.front().d_model});
    for (const LayerCase& settings : cases) {
      report.step(fmt::format("constructing {} '{}' with d_model={} and {}", kind, entry.name, settings.d_model,
                              settings.options.dump()));
      const Options options(entry.options, settings.options, fmt::format("{} {}", kind, entry.name));
      Parameters parameters;
      Builder builder(settings.d_model, options, parameters);
      if (entry.make(builder) == nullptr) throw Error("{} '{}' was not made: nullptr came back", kind, entry.name);
      if (entry.wishes) entry.wishes(options);
    }
  }
}

/// What stands where a backbone wants a layer.
class Identity final : public Layer {
 public:
  Tensor forward(const Tensor& x, State&, const Context&) override { return x; }
};

void construct_backbones(Report& report, std::size_t first) {
  for (std::size_t i = first; i < backbone_registry().entries().size(); ++i) {
    const BackboneEntry& entry = backbone_registry().entries()[i];
    report.step(fmt::format("constructing backbone '{}'", entry.name));
    const Options options(entry.options, {}, "backbone " + entry.name);
    Parameters parameters;
    Builder builder(default_width, options, parameters);
    BackboneParts parts;
    parts.mixers.push_back(std::make_unique<Identity>());
    if (entry.make(builder, std::move(parts)) == nullptr) {
      throw Error("backbone '{}' was not made: nullptr came back", entry.name);
    }
    if (entry.initialization) entry.initialization(options, 1);
  }
}

void construct_tasks(Report& report, std::size_t first) {
  for (std::size_t i = first; i < task_registry().entries().size(); ++i) {
    const TaskEntry& entry = task_registry().entries()[i];
    if (entry.needs_files) continue;
    std::vector<nlohmann::json> cases = entry.test_cases;
    cases.insert(cases.begin(), nlohmann::json::object());
    for (const nlohmann::json& settings : cases) {
      report.step(fmt::format("constructing task '{}' with {}", entry.name, settings.dump()));
      if (make_task(entry.name, settings) == nullptr) {
        throw Error("task '{}' was not made: nullptr came back", entry.name);
      }
    }
  }
}

}  // namespace

int probe_plugin(const std::string& path, const std::vector<std::string>& earlier) {
  prepare_for_the_worst();
  Report report;
  try {
    report.step("opening the plugins before it");
    for (const std::string& other : earlier) open_plugin(other);
    const std::size_t layers = layer_registry().entries().size();
    const std::size_t feed_forwards = feed_forward_registry().entries().size();
    const std::size_t backbones = backbone_registry().entries().size();
    const std::size_t tasks = task_registry().entries().size();
    report.step("opening it");
    open_plugin(path);
    construct_layers(report, "layer", layer_registry(), layers);
    construct_layers(report, "feed-forward", feed_forward_registry(), feed_forwards);
    construct_backbones(report, backbones);
    construct_tasks(report, tasks);
  } catch (const std::exception& error) {
    report.refuse(error.what());
    return 2;
  } catch (...) {
    report.refuse("an exception that is not a std::exception");
    return 2;
  }
  report.step("done");
  return 0;
}

}  // namespace zoo
