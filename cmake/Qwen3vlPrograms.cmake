# How the project's own programs, tests and benches are compiled. Nothing here reaches users of the library.
add_library(qwen3vl_build_options INTERFACE)
target_compile_options(qwen3vl_build_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(QWEN3VL_WERROR)
  target_compile_options(qwen3vl_build_options INTERFACE -Werror)
endif()
if(QWEN3VL_NATIVE)
  target_compile_options(qwen3vl_build_options INTERFACE -march=native)
endif()
if(QWEN3VL_SANITIZE)
  target_compile_options(qwen3vl_build_options INTERFACE -fsanitize=${QWEN3VL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(qwen3vl_build_options INTERFACE -fsanitize=${QWEN3VL_SANITIZE})
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# qwen3vl_program(NAME sources...): an executable of the project's own.
function(qwen3vl_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE qwen3vl::qwen3vl qwen3vl_build_options)
endfunction()

# qwen3vl_test(NAME sources...): a Catch2 executable, registered with ctest under its name. QWEN3VL_TEST_DATA is tests/data.
function(qwen3vl_test name)
  qwen3vl_program(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE qwen3vl_test_main)
  target_compile_definitions(${name} PRIVATE QWEN3VL_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" QWEN3VL_MODELS="${PROJECT_SOURCE_DIR}/examples/models")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()
