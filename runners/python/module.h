#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace zoo::python {

/// An array in C order, converted where it is another or of another type.
template <typename Value>
using Array = pybind11::array_t<Value, pybind11::array::c_style | pybind11::array::forcecast>;

/// zoo.Task: a task with its options, and its examples as arrays.
void define_task(pybind11::module_& module);
/// zoo.Layer: a layer with parameters of its own, forward and gradients of arrays.
void define_layer(pybind11::module_& module);

}  // namespace zoo::python
