# What the library links. Also read by the installed package, so that find_package(qwen3vl) finds the same things.
find_package(Threads REQUIRED)
find_package(xsimd 8.1 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(STB REQUIRED IMPORTED_TARGET stb)
