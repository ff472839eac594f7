# Compiler settings of every target of ours; none of them reach those who link zoo, except the language standard.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# Reading headers takes half of a first build. Files that are compiled together, and a precompiled header, have them read
# once; a compiler cache knows single files, and serves better where there is one.
set(ZOO_COMPILE_TOGETHER_DEFAULT ON)
if(CCACHE_PROGRAM)
  set(ZOO_COMPILE_TOGETHER_DEFAULT OFF)
endif()
option(ZOO_COMPILE_TOGETHER "A quicker first build: large headers precompiled, files compiled several at a time"
       ${ZOO_COMPILE_TOGETHER_DEFAULT})
# zoo_compile_together(<target> [FOLDERS folder...] [HEADERS header...]): the large headers, and these, are read once for
# a target's files; the files of each of these folders are compiled as one. Their file-local names must then differ.
function(zoo_compile_together target)
  cmake_parse_arguments(PARSE_ARGV 1 TOGETHER "" "" "FOLDERS;HEADERS")
  if(NOT ZOO_COMPILE_TOGETHER)
    return()
  endif()
  target_precompile_headers(${target} PRIVATE <algorithm> <filesystem> <functional> <memory> <optional> <string>
                            <vector> <fmt/format.h> <nlohmann/json.hpp> ${TOGETHER_HEADERS})
  # Of precompiled headers GCC 12 warns as of our own, of sizes that its std::string::replace never has. A build with
  # a compiler cache, as developers have it, keeps these warnings.
  target_compile_options(${target} PRIVATE
    "$<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-stringop-overflow;-Wno-stringop-overread;-Wno-array-bounds>")
  if(TOGETHER_FOLDERS)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(folder IN LISTS TOGETHER_FOLDERS)
    set(files ${sources})
    list(FILTER files INCLUDE REGEX "^${PROJECT_SOURCE_DIR}/${folder}/[^/]*$")
    string(MAKE_C_IDENTIFIER ${folder} group)
    set_source_files_properties(${files} PROPERTIES UNITY_GROUP ${group})
  endforeach()
endfunction()

add_library(zoo_flags INTERFACE)
target_compile_options(zoo_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
  # One rounding a written operation, on every instruction set: fused multiply-adds are written where they are wanted.
  -ffp-contract=off)
# GCC 12 warns of overlaps in the standard library's own string concatenation (its bug 105651).
target_compile_options(zoo_flags INTERFACE
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # One binary for every machine since 2009; wider vectors are chosen at run time (zoo/cpu).
  target_compile_options(zoo_flags INTERFACE -march=x86-64-v2)
endif()

set(ZOO_SANITIZE "" CACHE STRING "Sanitizers to build with, as for -fsanitize")
if(ZOO_SANITIZE)
  # What is found ends the process, so that a test fails by it: undefined behaviour alone would only be printed. Of
  # debug information a report needs files and lines; -O1 builds in two thirds of the time that -O2 takes.
  add_compile_options(-fsanitize=${ZOO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=${ZOO_SANITIZE})
  # Instrumented code hides from GCC what the standard library's own headers have set.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
endif()
