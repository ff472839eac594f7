# As a user does it: install, then build a plugin and a program of another project against the installation, then use
# them. Called by ctest with -DBUILD=..., -DWORK=... (a scratch directory), -DSOURCE=..., -DCOMPILER=..., -DFLAGS=...,
# -DGENERATOR=... (a machine that builds zoo need not have make)
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${code}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(expect_in_output text)
  if(NOT output MATCHES "${text}")
    message(FATAL_ERROR "expected '${text}' in:\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
# An installation can be moved.
file(RENAME ${WORK}/first ${WORK}/prefix)

foreach(project sample program)
  run(${CMAKE_COMMAND} -S ${SOURCE}/${project} -B ${WORK}/${project} -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER} "-DCMAKE_CXX_FLAGS=${FLAGS}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}")
  run(${CMAKE_COMMAND} --build ${WORK}/${project})
endforeach()

run(${WORK}/prefix/bin/zoo layers token_shift --plugin ${WORK}/sample/token_shift.so)
expect_in_output("shift=1 +how many tokens back")
run(${WORK}/program/program)
expect_in_output("heads 2")

# `zoo new-layer` of the installation: the folder that it writes builds without being told where zoo is, its layer passes
# `zoo check`, and has a point in a tiny sweep.
set(new ${WORK}/moving_average)
run(${WORK}/prefix/bin/zoo new-layer moving_average --dir ${new})
run(${CMAKE_COMMAND} -S ${new} -B ${new}/build -G ${GENERATOR} -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER}
    "-DCMAKE_CXX_FLAGS=${FLAGS}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}")
run(${CMAKE_COMMAND} --build ${new}/build)
run(${WORK}/prefix/bin/zoo check moving_average --plugin ${new}/build/moving_average.so --threads 1)
expect_in_output("moving_average: [0-9]+ passed, 0 failed")
run(${WORK}/prefix/bin/zoo recall --layers moving_average --plugin ${new}/build/moving_average.so --d-model 8 --seq-len 16
    --kv-pairs 2 --train-examples 64 --test-examples 16 --batch-size 16 --epochs 1 --workers 1
    --store ${WORK}/runs.db --out ${WORK}/out)
expect_in_output("moving_average +8 ")
