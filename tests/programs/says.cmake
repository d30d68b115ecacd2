# Runs COMMAND; fails unless it ends with CODE and its output matches PATTERN.
execute_process(COMMAND ${COMMAND} OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE result)
message("${output}${errors}")
if(NOT result EQUAL CODE)
  message(FATAL_ERROR "expected exit code ${CODE}, found ${result}")
endif()
if(NOT "${output}${errors}" MATCHES "${PATTERN}")
  message(FATAL_ERROR "expected output that matches: ${PATTERN}")
endif()
