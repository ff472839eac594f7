# zoo_add_plugin(<name> <source>...): a shared library of layers and tasks, <name>.so, for `zoo --plugin`.
function(zoo_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE zoo::zoo)
  # Only what the registration macros export is visible, so that two plugins may use the same names inside.
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()
