# Headers as Doxygen reads them, line by line (-v conventions=FILE):
# - without the inline namespace of a target, which is no part of a name, without namespaces detail, and without
#   stand-ins of refused models, which have the names of what they stand for;
# - with indented lines of a docstring as code;
# - with the docstring of a declaration of several names at each of them;
# - with the docstrings of FILE at members that have none, where a concept or a convention says what they are.
BEGIN {
    while ((getline entry < conventions) > 0) {
        if (entry ~ /^#/ || entry !~ / \| .* \| /) continue
        folder[++entries] = substr(entry, 1, index(entry, " | ") - 1)
        entry = substr(entry, index(entry, " | ") + 3)
        pattern[entries] = "^ *" substr(entry, 1, index(entry, " | ") - 1)
        text[entries] = substr(entry, index(entry, " | ") + 3)
    }
}

function code(line) { return line ~ /^ *\/\/\/     / }
function give() {
    if (!held) return
    if (code(last) && !inside) { sub(/\/\/\/     /, "/// @code{.cpp} ", last); inside = 1 }
    if (inside && !code(line)) { last = last " @endcode"; inside = 0 }
    print last
}

# The line with the docstrings of its names, and `type a = 1, b = 2;` as one declaration of each. `above` is what the
# lines before say; behind several names, `///< [n], [n, m]` are the shapes of one after the other.
function documented(line,    behind, at, c, depth, n, part, i, type, shape, shapes, made) {
    if (line ~ /\/\/\/</) {
        behind = substr(line, index(line, "///<") + 4)
        line = substr(line, 1, index(line, "///<") - 1)
    }
    n = 1
    if (begins && line ~ /^ *[A-Za-z_][^()]*,[^()]*; *$/ && line !~ /^ *(return|using|case|friend) /)
        for (at = 1; at <= length(line); ++at) {
            c = substr(line, at, 1)
            if (c == ";") break
            if (index("({<", c)) ++depth
            if (index(")}>", c)) --depth
            if (c == "," && depth == 0) ++n
            else part[n] = part[n] c
        }
    if (n == 1) {
        if (behind != "") return line "///<" behind
        return above == "" ? before_name(convention(line)) line : line
    }
    type = part[1]
    sub(/ *[={[].*/, "", type)
    sub(/[*& ]*[A-Za-z_0-9]+$/, "", type)
    shapes = behind ~ /^ \[.*\]$/ ? split(substr(behind, 3, length(behind) - 3), shape, /\], \[/) : 0
    for (i = 1; i <= n; ++i) {
        if (i > 1) part[i] = type part[i]
        if (behind != "") made = made before_name(shapes == n ? " [" shape[i] "]" : behind)
        else if (above == "") made = made before_name(convention(part[i]))
        else if (i > 1) made = made before_name(above)
        made = made part[i] ";"
    }
    return made
}
function before_name(docstring) { return docstring == "" ? "" : "/**" docstring " */ " }

function convention(line,    i) {
    for (i = 1; i <= entries; ++i)
        if (line ~ pattern[i] && (folder[i] == "*" || index(FILENAME, "/include/qwen3vl/" folder[i])))
            return " " text[i]
    return ""
}

{
    line = $0
    sub(/::inline QWEN3VL_ABI/, "", line)
    if (line ~ /^\/\/\/ Stands in for/) refused = 1
    ends = refused && (line ~ /^};/ || line ~ /^requires .*;$/)
    if (refused) line = ""
    if (ends) refused = 0
    if (line ~ /^ *namespace detail \{/) inner = 1
    if (inner && line ~ /^ *\}  \/\/ namespace detail/) { inner = 0; line = "" }
    if (inner) line = ""
    if (line ~ /^ *\/\/\/[^<]/) {
        above = above substr(line, index(line, "///") + 3)
    } else if (line !~ /^ *(template|requires|#)/ || line ~ /[{;]$/) {
        begins = previous !~ /[,=<(&|?+-] *$/
        if (line != "") previous = line
        sub(/ *\/\/.*/, "", previous)
        line = documented(line)
        above = ""
    }
    give()
    last = line
    held = 1
}
END { line = ""; give() }
