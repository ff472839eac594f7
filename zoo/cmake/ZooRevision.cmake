# Writes zoo/sweep/revision.h with `git describe`, anew at each build but only where it has changed, so that a commit rebuilds
# one file and nothing else. Included by CMakeLists.txt, and run as a script by the target that it makes there.
if(CMAKE_SCRIPT_MODE_FILE)
  cmake_minimum_required(VERSION 3.25)
  execute_process(COMMAND git describe --always --dirty --tags WORKING_DIRECTORY ${SOURCE_DIR}
                  OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(revision "unknown")
  endif()
  file(CONFIGURE OUTPUT ${HEADER} @ONLY CONTENT "#pragma once

namespace zoo {

/// What `git describe` said of the sources when this was built; \"unknown\" outside a git checkout.
inline constexpr const char* git_revision = \"@revision@\";

}  // namespace zoo
")
  return()
endif()

set(ZOO_REVISION_HEADER ${PROJECT_BINARY_DIR}/include/zoo/sweep/revision.h)
add_custom_target(zoo_revision
  COMMAND ${CMAKE_COMMAND} -D SOURCE_DIR=${PROJECT_SOURCE_DIR} -D HEADER=${ZOO_REVISION_HEADER}
          -P ${CMAKE_CURRENT_LIST_FILE}
  BYPRODUCTS ${ZOO_REVISION_HEADER} COMMENT "Asking git for the revision" VERBATIM)
add_dependencies(zoo zoo_revision)
