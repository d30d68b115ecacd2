# Makes HEADER from the table of configurations in PAGE, a check for each row of two code cells: the bundle of the
# fields in the first is that of the second.
function(qwen3vl_from_config page header)
  file(STRINGS ${page} rows REGEX "^\\| `\\..*` \\| `.*` \\|$")
  list(LENGTH rows count)
  if(count LESS 10)
    message(FATAL_ERROR "${page}: expected the table of MultimodalConfig, found ${count} rows")
  endif()
  set(checks "")
  foreach(row IN LISTS rows)
    string(REGEX MATCH "^\\| `(.*)` \\| `(.*)` \\|$" unused "${row}")
    string(APPEND checks "check<FromConfig<MultimodalConfig{.use_multimodal_attention_optimization = true, "
                         "${CMAKE_MATCH_1}}>, ${CMAKE_MATCH_2}>();\n")
  endforeach()
  file(CONFIGURE OUTPUT ${header} CONTENT "${checks}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
endfunction()
