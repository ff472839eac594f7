#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runners/python/module.h"
#include "zoo/core/error.h"
#include "zoo/nn/single_layer.h"

namespace py = pybind11;

namespace zoo::python {
namespace {

template <typename Value>
Tensor from_array(const Array<Value>& array) {
  if (array.ndim() > Shape::max_rank)
    throw UsageError("an array has {} axes; at most {} are possible", array.ndim(), Shape::max_rank);
  const std::vector<std::int64_t> extents(array.shape(), array.shape() + array.ndim());
  return Tensor::from<Value>(Shape(extents), std::span(array.data(), static_cast<std::size_t>(array.size())));
}

template <typename Value>
py::array to_array(const Tensor& tensor) {
  std::vector<py::ssize_t> shape;
  for (int axis = 0; axis < tensor.rank(); ++axis) shape.push_back(tensor.dim(axis));
  Array<Value> array(shape);
  std::ranges::copy(tensor.values<Value>(), array.mutable_data());
  return array;
}

/// A layer with values for its parameters, in float32 or float64.
class PythonLayer {
 public:
  PythonLayer(const std::string& name, std::int64_t d_model, const std::string& options, std::uint64_t seed,
              const std::string& dtype, std::int64_t max_length)
      : single_(make_single_layer(find_layer_entry(name), d_model, nlohmann::json::parse(options), max_length)),
        double_precision_(dtype == "float64"),
        d_model_(d_model) {
    if (dtype != "float32" && dtype != "float64") {
      throw UsageError("dtype is '{}'; it must be 'float32' or 'float64'", dtype);
    }
    initialize(single_.parameters, seed, {}, double_precision_ ? DType::f64 : DType::f32);
  }

  py::dict parameters() const {
    py::dict all;
    for (const Parameter& parameter : single_.parameters)
      all[py::str(parameter.spec().name)] = array(parameter.value());
    return all;
  }

  void set_parameter(const std::string& name, const py::array& value) {
    for (const Parameter& parameter : single_.parameters) {
      if (parameter.spec().name != name) continue;
      const Tensor given = tensor(value);
      if (given.shape() != parameter.spec().shape) {
        throw UsageError("parameter '{}' was given the shape {}; it has {}", name, given.shape().str(),
                         parameter.spec().shape.str());
      }
      parameter.set_value(given);
      return;
    }
    std::vector<std::string> names;
    for (const Parameter& parameter : single_.parameters) names.push_back(parameter.spec().name);
    throw UsageError("{}", unknown_name_message("parameter", name, names));
  }

  py::array forward(const py::array& x, std::vector<std::int64_t> chunks) const {
    const Tensor input = sequences(x, "x");
    return array(run(input, {}, std::move(chunks)).y);
  }

  py::tuple gradients(const py::array& x, const py::array& dy, std::vector<std::int64_t> chunks) const {
    const Tensor input = sequences(x, "x");
    const Tensor output_gradient = sequences(dy, "dy");
    if (input.shape() != output_gradient.shape()) {
      throw UsageError("x has the shape {} and dy {}; they must be equal", input.shape().str(),
                       output_gradient.shape().str());
    }
    const LayerResult result = run(input, output_gradient, std::move(chunks));
    py::dict all;
    for (std::size_t i = 0; i < result.parameter_grads.size(); ++i) {
      all[py::str(single_.parameters[i].spec().name)] = array(result.parameter_grads[i]);
    }
    return py::make_tuple(array(result.y), array(result.dx), all);
  }

 private:
  Tensor tensor(const py::array& array) const {
    return double_precision_ ? from_array(Array<double>(array)) : from_array(Array<float>(array));
  }
  py::array array(const Tensor& tensor) const {
    return double_precision_ ? to_array<double>(tensor) : to_array<float>(tensor);
  }
  Tensor sequences(const py::array& array, const char* name) const {
    const Tensor given = tensor(array);
    if (given.rank() != 3 || given.dim(2) != d_model_ || given.size() == 0) {
      throw UsageError("{} has the shape {}; it must be [batch, time, {}], none of them 0", name, given.shape().str(),
                       d_model_);
    }
    return given;
  }
  LayerResult run(const Tensor& x, const Tensor& dy, std::vector<std::int64_t> chunks) const {
    if (chunks.empty()) chunks = {x.dim(1)};
    std::int64_t sum = 0;
    for (const std::int64_t chunk : chunks) {
      if (chunk < 1) throw UsageError("a chunk has the length {}; it must be at least 1", chunk);
      sum += chunk;
    }
    if (sum != x.dim(1)) throw UsageError("the chunks are {} positions long together; x has {}", sum, x.dim(1));
    const py::gil_scoped_release release;
    return evaluate(single_, x, dy, chunks);
  }

  SingleLayer single_;
  bool double_precision_;
  std::int64_t d_model_;
};

}  // namespace

void define_layer(py::module_& module) {
  const py::arg_v chunks("chunks", std::vector<std::int64_t>{});
  py::class_<PythonLayer>(module, "Layer")
      .def(py::init<const std::string&, std::int64_t, const std::string&, std::uint64_t, const std::string&,
                    std::int64_t>())
      .def_property_readonly("parameters", &PythonLayer::parameters, "Copies of the values, by name.")
      .def("set_parameter", &PythonLayer::set_parameter, py::arg("name"), py::arg("value"))
      .def("forward", &PythonLayer::forward, py::arg("x"), chunks,
           "y [batch, time, d_model] of x, from the initial state; chunks: lengths in which x is given.")
      .def("gradients", &PythonLayer::gradients, py::arg("x"), py::arg("dy"), chunks,
           "(y, dx, {parameter: gradient}) of sum(y * dy).");
}

}  // namespace zoo::python
