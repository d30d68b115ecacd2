# The install: headers, the exported targets, and a package file that finds the dependencies again.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(DIRECTORY include/qwen3vl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(TARGETS qwen3vl qwen3vl_core EXPORT qwen3vlTargets)
if(QWEN3VL_BUILD_MODELS)
  install(TARGETS qwen3vl_models EXPORT qwen3vlTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/models/include/qwen3vl/compiled_models.hpp
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qwen3vl)
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qwen3vl)
install(EXPORT qwen3vlTargets NAMESPACE qwen3vl:: DESTINATION ${package_dir})
configure_package_config_file(cmake/qwen3vlConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/qwen3vlConfig.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/qwen3vlConfigVersion.cmake COMPATIBILITY SameMinorVersion
    ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/qwen3vlConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/qwen3vlConfigVersion.cmake
        cmake/Qwen3vlDependencies.cmake
        DESTINATION ${package_dir})
