# cmake -DLOG=… -DHTML=… -P count_warnings.cmake: says how many warnings a log of Doxygen has, and where the pages are.
file(STRINGS ${LOG} warnings REGEX ": warning: ")
file(STRINGS ${LOG} undocumented REGEX "is not documented")
list(LENGTH warnings all)
list(LENGTH undocumented missing)
message("${HTML}: ${all} warnings, ${missing} of them names without a docstring; see ${LOG}")
