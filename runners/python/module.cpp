// What Python sees of zoo. Descriptions and records cross as JSON text, which zoo/__init__.py reads: they are small,
// and both sides have a good parser. Numbers cross as NumPy arrays.

#include "runners/python/module.h"

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "zoo/core/error.h"
#include "zoo/core/options_describe.h"
#include "zoo/core/plugin.h"
#include "zoo/core/plugin_loader.h"
#include "zoo/core/task.h"
#include "zoo/core/version.h"
#include "zoo/io/merge_runs.h"
#include "zoo/io/store.h"
#include "zoo/nn/backbone.h"
#include "zoo/nn/layer.h"
#include "zoo/report/json.h"
#include "zoo/report/summary.h"

namespace py = pybind11;

namespace zoo::python {
namespace {

template <typename Entry>
std::string describe(const Registry<Entry>& registry) {
  nlohmann::json all = nlohmann::json::object();
  for (const Entry& entry : registry.entries()) {
    all[entry.name] = {
        {"description", entry.description}, {"paper", entry.paper}, {"options", options_json(entry.options)}};
  }
  return all.dump();
}

std::string read_runs(const std::vector<std::string>& paths) {
  std::vector<std::vector<Run>> stores;
  for (const std::string& path : paths) stores.push_back(Store(path, Store::Mode::read).runs());
  const std::vector<Run> runs = merge_runs(std::move(stores));
  return report::results_json(runs, report::Summary{}, "").at("runs").dump();
}

}  // namespace
}  // namespace zoo::python

PYBIND11_MODULE(_zoo, module) {
  using namespace zoo;
  // Translators are tried from the last to the first: UsageError is an Error.
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const UsageError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const Error& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
  });
  register_builtin();
  module.attr("version") = std::string(version);
  module.def("describe_layers", [] { return python::describe(layer_registry()); });
  module.def("describe_tasks", [] { return python::describe(task_registry()); });
  module.def("read_runs", &python::read_runs);
  module.def("load_plugin", [](const std::string& path) { load_plugin(path, {.command = ""}); });
  python::define_task(module);
  python::define_layer(module);
}
