# qwen3vl::models: a static library of models compiled once, for programs that shall build fast. Who links it gets its
# -march and, with the umbrella header, the declarations that keep the same models out of the program's own files.
set(QWEN3VL_MODELS_DIMS Qwen3VL_2B CACHE STRING "Dims that qwen3vl::models holds")
set(QWEN3VL_MODELS_BUNDLES bf16 int8 int4 CACHE STRING
    "Bundles that qwen3vl::models holds for each Dims; bf16 is the default policies too")
set(default_march "")
if(QWEN3VL_NATIVE)
  set(default_march native)
endif()
set(QWEN3VL_MODELS_MARCH "${default_march}" CACHE STRING
    "-march of qwen3vl::models and of what links it; empty: as CMAKE_CXX_FLAGS say")

set(march_flag "")
if(QWEN3VL_MODELS_MARCH)
  set(march_flag -march=${QWEN3VL_MODELS_MARCH})
endif()
separate_arguments(QWEN3VL_MODELS_FLAGS UNIX_COMMAND "${CMAKE_CXX_FLAGS}")
list(APPEND QWEN3VL_MODELS_FLAGS ${march_flag})
# The inline namespace for these flags, as the compiler sees it: core/config.hpp names it after the instruction sets.
execute_process(COMMAND ${CMAKE_CXX_COMPILER} ${QWEN3VL_MODELS_FLAGS} -std=c++20 -E -dM
                ${PROJECT_SOURCE_DIR}/include/qwen3vl/core/config.hpp
                OUTPUT_VARIABLE macros ERROR_VARIABLE errors RESULT_VARIABLE failed)
if(failed OR NOT macros MATCHES "#define QWEN3VL_ABI ([a-z0-9_]+)")
  message(FATAL_ERROR "qwen3vl::models: the library does not compile with ${QWEN3VL_MODELS_FLAGS}:\n${errors}")
endif()
set(QWEN3VL_MODELS_ABI ${CMAKE_MATCH_1})
list(JOIN QWEN3VL_MODELS_FLAGS " " QWEN3VL_MODELS_FLAGS)

set(folder ${CMAKE_CURRENT_BINARY_DIR}/models)
set(sources "")
set(declarations "")
foreach(dims ${QWEN3VL_MODELS_DIMS})
  foreach(bundle ${QWEN3VL_MODELS_BUNDLES})
    set(definitions "")
    set(type "Model<models::${dims}, bundles::${bundle}>")
    foreach(template "BasicModel<models::${dims}, SlotsOf<bundles::${bundle}>>" "Sequence<${type}>" "Workspace<${type}>"
            "Session<${type}>" "Chat<${type}>")
      string(APPEND definitions "template class ${template};\n")
      string(APPEND declarations "extern template class ${template};\n")
    endforeach()
    string(CONCAT encode "template std::shared_ptr<const VisualFeatures> encode(Workspace<${type}>&, const Patches&, "
                         "const ProgressCallback&, const TensorHook&);\n")
    string(APPEND definitions "${encode}")
    string(APPEND declarations "extern ${encode}")
    configure_file(cmake/compiled_model.cpp.in ${folder}/${dims}_${bundle}.cpp @ONLY)
    list(APPEND sources ${folder}/${dims}_${bundle}.cpp)
  endforeach()
endforeach()
configure_file(cmake/compiled_models.hpp.in ${folder}/include/qwen3vl/compiled_models.hpp @ONLY)

add_library(qwen3vl_models STATIC ${sources} ${PROJECT_SOURCE_DIR}/cmake/support.cpp)
add_library(qwen3vl::models ALIAS qwen3vl_models)
set_target_properties(qwen3vl_models PROPERTIES EXPORT_NAME models POSITION_INDEPENDENT_CODE ON)
target_link_libraries(qwen3vl_models PUBLIC qwen3vl)
target_compile_options(qwen3vl_models PUBLIC ${march_flag})
target_compile_definitions(qwen3vl_models INTERFACE QWEN3VL_COMPILED_MODELS QWEN3VL_SUPPORT_LINKED)
target_include_directories(qwen3vl_models INTERFACE $<BUILD_INTERFACE:${folder}/include> $<INSTALL_INTERFACE:include>)
