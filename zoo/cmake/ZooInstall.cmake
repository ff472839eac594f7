# What `cmake --install` copies, and the package that another project gets by find_package(zoo).
include(CMakePackageConfigHelpers)
include(ZooPlugin)

target_compile_features(zoo PUBLIC cxx_std_20)
set(ZOO_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/zoo)

install(TARGETS zoo EXPORT zooTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS zoo_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY zoo/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/zoo
        FILES_MATCHING PATTERN "*.h" PATTERN cmake EXCLUDE PATTERN cpu EXCLUDE PATTERN gpu EXCLUDE)
install(FILES ${PROJECT_BINARY_DIR}/include/zoo/core/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/zoo/core)

configure_package_config_file(zoo/cmake/zooConfig.cmake.in ${PROJECT_BINARY_DIR}/package/zooConfig.cmake
                              INSTALL_DESTINATION ${ZOO_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/zooConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT zooTargets NAMESPACE zoo:: DESTINATION ${ZOO_PACKAGE_DIR})
install(FILES ${PROJECT_BINARY_DIR}/package/zooConfig.cmake ${PROJECT_BINARY_DIR}/package/zooConfigVersion.cmake
              zoo/cmake/ZooPlugin.cmake
        DESTINATION ${ZOO_PACKAGE_DIR})

# The same package in the build folder, so that a plugin can be built against a zoo that is not installed.
file(COPY zoo/cmake/ZooPlugin.cmake DESTINATION ${PROJECT_BINARY_DIR})
configure_package_config_file(zoo/cmake/zooConfig.cmake.in ${PROJECT_BINARY_DIR}/zooConfig.cmake
                              INSTALL_PREFIX ${PROJECT_BINARY_DIR} INSTALL_DESTINATION ${PROJECT_BINARY_DIR})
file(COPY ${PROJECT_BINARY_DIR}/package/zooConfigVersion.cmake DESTINATION ${PROJECT_BINARY_DIR})
export(EXPORT zooTargets NAMESPACE zoo:: FILE ${PROJECT_BINARY_DIR}/zooTargets.cmake)
