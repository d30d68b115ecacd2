# cmake -DLOG=… -DHTML=… -P check_reference.cmake: fails where Doxygen's log holds a warning, such as of a public name
# without a docstring; says where the pages are.
file(READ ${LOG} warnings)
string(STRIP "${warnings}" warnings)
if(NOT warnings STREQUAL "")
  message("${warnings}")
  message(FATAL_ERROR "the reference has warnings; docstrings of conventions stand in cmake/reference_conventions.txt")
endif()
message("${HTML}")
