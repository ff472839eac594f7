#pragma once

#include <pybind11/pybind11.h>

namespace zoo::python {

/// zoo.Task: a task with its options, and its examples as arrays.
void define_task(pybind11::module_& module);
/// zoo.Layer: a layer with parameters of its own, forward and gradients of arrays.
void define_layer(pybind11::module_& module);

}  // namespace zoo::python
