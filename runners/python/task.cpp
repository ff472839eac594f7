#include "zoo/core/task.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runners/python/module.h"
#include "zoo/core/error.h"

namespace py = pybind11;

namespace zoo::python {
namespace {

// One array of the examples, a row each; absent where the task does not use it.
template <typename Value>
class Column {
 public:
  Column(const char* name, std::vector<Value> Example::*member, std::size_t row, std::vector<py::ssize_t> shape)
      : name_(name), member_(member), row_(row) {
    if (row_ > 0) array_ = Array<Value>(std::move(shape));
  }
  Value* data() { return row_ > 0 ? array_.mutable_data() : nullptr; }
  void write(const Example& example, std::size_t place, Value* data) const {
    if (row_ > 0) std::ranges::copy(example.*member_, data + place * row_);
  }
  void give(py::dict& arrays) const {
    if (row_ > 0) arrays[name_] = array_;
  }

 private:
  const char* name_;
  std::vector<Value> Example::*member_;
  std::size_t row_;
  Array<Value> array_;
};

py::dict examples(const Task& task, const std::string& split, std::uint64_t seed,
                  const std::vector<std::uint64_t>& indices) {
  const Split of = parse_split(split);
  const auto count = static_cast<py::ssize_t>(indices.size());
  const auto length = static_cast<py::ssize_t>(task.seq_len());
  const auto channels = static_cast<py::ssize_t>(task.input_channels());
  const auto positions = static_cast<std::size_t>(length);
  const auto used = [&](bool is_used) { return is_used ? positions : 0; };
  Column<std::int32_t> tokens("tokens", &Example::tokens, used(channels == 0), {count, length});
  Column<float> reals("reals", &Example::reals, positions * static_cast<std::size_t>(channels),
                      {count, length, channels});
  Column<std::int32_t> labels("labels", &Example::labels, positions, {count, length});
  Column<float> targets("targets", &Example::targets, used(task.head().kind == HeadKind::regression), {count, length});
  Column<std::int32_t> groups("groups", &Example::groups, used(!task.groups().empty()), {count, length});
  {
    std::int32_t *token = tokens.data(), *label = labels.data(), *group = groups.data();
    float *real = reals.data(), *target = targets.data();
    const py::gil_scoped_release release;
    Example example;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      task.generate(of, seed, indices[i], example);
      check_example(task, example, indices[i]);
      tokens.write(example, i, token);
      reals.write(example, i, real);
      labels.write(example, i, label);
      targets.write(example, i, target);
      groups.write(example, i, group);
    }
  }
  py::dict arrays;
  tokens.give(arrays);
  reals.give(arrays);
  labels.give(arrays);
  targets.give(arrays);
  groups.give(arrays);
  return arrays;
}

std::string described(const Task& task, const std::string& split, std::uint64_t seed, std::uint64_t index) {
  Example example;
  task.generate(parse_split(split), seed, index, example);
  return task.describe(example);
}

std::string slices_text(const std::vector<Slice>& slices) {
  nlohmann::json all = nlohmann::json::array();
  for (const Slice& slice : slices) all.push_back({slice.name, slice.value});
  return all.dump();
}

}  // namespace

void define_task(py::module_& module) {
  py::class_<Task, std::shared_ptr<Task>>(module, "Task")
      .def_property_readonly("vocab_size", &Task::vocab_size)
      .def_property_readonly("seq_len", &Task::seq_len)
      .def_property_readonly("input_channels", &Task::input_channels)
      .def_property_readonly("head", [](const Task& task) { return std::string(head_kind_name(task.head().kind)); })
      .def_property_readonly("outputs", [](const Task& task) { return task.head().outputs; })
      .def("_slices", [](const Task& task) { return slices_text(task.slices()); })
      .def("_groups", [](const Task& task) { return slices_text(task.groups()); })
      .def("_examples", &examples)
      .def("describe", &described, py::arg("split") = "train", py::arg("seed") = 0, py::arg("index") = 0,
           "One example as text that a person can read.");
  module.def("make_task", [](const std::string& name, const std::string& options) {
    return std::shared_ptr<Task>(make_task(name, nlohmann::json::parse(options)));
  });
}

}  // namespace zoo::python
