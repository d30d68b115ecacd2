# The target `reference`, where Doxygen is installed: HTML of the public names in BUILD/reference/html. It fails where a
# public name has no docstring, or a docstring is wrong.
find_package(Doxygen QUIET)
if(NOT DOXYGEN_FOUND)
  return()
endif()
set(QWEN3VL_REFERENCE_DIR ${CMAKE_CURRENT_BINARY_DIR}/reference)
configure_file(${CMAKE_CURRENT_LIST_DIR}/Doxyfile.in ${CMAKE_CURRENT_BINARY_DIR}/Doxyfile @ONLY)
add_custom_target(
  reference
  COMMAND ${CMAKE_COMMAND} -E make_directory ${QWEN3VL_REFERENCE_DIR}
  COMMAND Doxygen::doxygen ${CMAKE_CURRENT_BINARY_DIR}/Doxyfile
  COMMAND ${CMAKE_COMMAND} -DLOG=${QWEN3VL_REFERENCE_DIR}/warnings.txt -DHTML=${QWEN3VL_REFERENCE_DIR}/html/index.html
          -DINCLUDE=${PROJECT_SOURCE_DIR}/include/qwen3vl -P ${CMAKE_CURRENT_LIST_DIR}/check_reference.cmake
  COMMENT "Reference of the library's public names"
  VERBATIM)
