# Headers as Doxygen reads them, line by line: without the inline namespace of a target, which is no part of a name; without stand-ins of refused models,
# which have the names of what they stand for; and with indented lines of a docstring as code.
function code(line) { return line ~ /^ *\/\/\/     / }
function give() {
    if (!held) return
    if (code(last) && !inside) { sub(/\/\/\/     /, "/// @code{.cpp} ", last); inside = 1 }
    if (inside && !code(line)) { last = last " @endcode"; inside = 0 }
    print last
}
{
    line = $0
    sub(/::inline QWEN3VL_ABI/, "", line)
    if (line ~ /^\/\/\/ Stands in for/) refused = 1
    ends = refused && (line ~ /^};/ || line ~ /^requires .*;$/)
    if (refused) line = ""
    if (ends) refused = 0
    give()
    last = line
    held = 1
}
END { line = ""; give() }
