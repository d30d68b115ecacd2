# How the project's own programs, tests and benches are compiled. Nothing here reaches users of the library.
add_library(qwen3vl_build_options INTERFACE)
target_compile_options(qwen3vl_build_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
if(QWEN3VL_WERROR)
  target_compile_options(qwen3vl_build_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC's own avx512 intrinsics use an undefined vector on purpose (GCC bug 105593); "text" + std::string() is said to
  # overlap (105651)
  target_compile_options(qwen3vl_build_options INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized -Wno-restrict)
endif()
# A target's property QWEN3VL_MARCH names its CPU; without it, QWEN3VL_NATIVE decides.
set(march $<TARGET_PROPERTY:QWEN3VL_MARCH>)
target_compile_options(qwen3vl_build_options INTERFACE $<$<BOOL:${march}>:-march=${march}>)
if(QWEN3VL_NATIVE)
  # AMX needs the system's leave, which some sandboxes and old kernels refuse although the CPU has it: then native means
  # the CPU without it.
  if(NOT DEFINED QWEN3VL_AMX_REFUSED)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/amx_leave.cpp
         "#include <sys/syscall.h>\n#include <unistd.h>\n"
         "int main() { return syscall(SYS_arch_prctl, 0x1023, 18) != 0; }\n")
    try_run(amx_leave amx_leave_compiles ${CMAKE_CURRENT_BINARY_DIR} ${CMAKE_CURRENT_BINARY_DIR}/amx_leave.cpp)
    if(amx_leave EQUAL 0)
      set(refused OFF)
    else()
      set(refused ON)
    endif()
    set(QWEN3VL_AMX_REFUSED ${refused} CACHE INTERNAL "whether programs must do without AMX")
  endif()
  set(native -march=native)
  if(QWEN3VL_AMX_REFUSED)
    list(APPEND native -mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
  endif()
  target_compile_options(qwen3vl_build_options INTERFACE "$<$<NOT:$<BOOL:${march}>>:${native}>")
endif()
if(QWEN3VL_SANITIZE)
  target_compile_options(qwen3vl_build_options INTERFACE -fsanitize=${QWEN3VL_SANITIZE} -fno-sanitize-recover=all
                         -fno-omit-frame-pointer)
  target_link_options(qwen3vl_build_options INTERFACE -fsanitize=${QWEN3VL_SANITIZE})
  # Compilers tell it in ways of their own.
  target_compile_definitions(qwen3vl_build_options INTERFACE QWEN3VL_SANITIZED)
endif()

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# What no template parameter changes, compiled once for all programs; see core/config.hpp.
add_library(qwen3vl_support STATIC ${CMAKE_CURRENT_LIST_DIR}/support.cpp)
target_link_libraries(qwen3vl_support PUBLIC qwen3vl::qwen3vl PRIVATE qwen3vl_build_options)
target_compile_definitions(qwen3vl_support INTERFACE QWEN3VL_SUPPORT_LINKED)

# qwen3vl_program(NAME sources...): an executable of the project's own. QWEN3VL_HEADERS_ALONE: it has what it uses of
# the library to itself, as one for another CPU must.
function(qwen3vl_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE qwen3vl::qwen3vl qwen3vl_build_options)
  if(NOT QWEN3VL_HEADERS_ALONE)
    target_link_libraries(${name} PRIVATE qwen3vl_support)
  endif()
endfunction()

# qwen3vl_test(NAME sources...): a Catch2 executable, registered with ctest under its name. Optimised enough to run; a
# third of the time to compile is saved. What tests kernels themselves, qwen3vl_arch_test, and the benches and programs
# are optimised as the build type says.
set(QWEN3VL_TEST_OPTIONS -O1 CACHE STRING "options of test programs behind those of the build type")
set(QWEN3VL_TEST_BATCH 4 CACHE STRING
    "files of a test program that are compiled together and share what they instantiate; 1 while you work on one")
function(qwen3vl_test_program name)
  qwen3vl_program(${name} ${ARGN})
  list(LENGTH ARGN files)
  if(files GREATER 1 AND QWEN3VL_TEST_BATCH GREATER 1)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${QWEN3VL_TEST_BATCH})
  endif()
  target_link_libraries(${name} PRIVATE qwen3vl_test_main)
  add_dependencies(tests ${name})
endfunction()
function(qwen3vl_test name)
  qwen3vl_test_program(${name} ${ARGN})
  target_compile_options(${name} PRIVATE ${QWEN3VL_TEST_OPTIONS})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

# qwen3vl_arch_test(NAME sources... [ALSO ARCH=CPU...]): one qwen3vl_test for each instruction set, NAME_sse4_2,
# NAME_avx2, NAME_avx512 and those named. ctest shows those that this CPU cannot run as skipped. Sanitized builds leave
# those named out: they differ in single instructions.
function(qwen3vl_arch_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" ALSO)
  set(all sse4_2=x86-64-v2 avx2=haswell avx512=skylake-avx512 ${arg_ALSO})
  # The other sets have the same code in other widths, and the model's tests run that of the machine.
  if(QWEN3VL_SANITIZE)
    set(all avx2=haswell)
  endif()
  foreach(arch_march ${all})
    string(REGEX MATCH "(.*)=(.*)" unused ${arch_march})
    set(test ${name}_${CMAKE_MATCH_1})
    set(arch ${CMAKE_MATCH_1})
    set(cpu ${CMAKE_MATCH_2})
    set(QWEN3VL_HEADERS_ALONE ON)
    qwen3vl_test_program(${test} ${arg_UNPARSED_ARGUMENTS})
    set_target_properties(${test} PROPERTIES QWEN3VL_MARCH ${cpu})
    target_compile_definitions(${test} PRIVATE QWEN3VL_EXPECTED_ARCH=${arch})
    add_dependencies(tests run_on_arch)
    add_test(NAME ${test} COMMAND run_on_arch ${arch} $<TARGET_FILE:${test}>)
    set_tests_properties(${test} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 4)
  endforeach()
endfunction()
