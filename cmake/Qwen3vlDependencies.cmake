# What the library links. Also read by the installed package, so that find_package(qwen3vl) finds the same things.
find_package(Threads REQUIRED)
find_package(xsimd 8.1 REQUIRED)
if(NOT TARGET xtl)  # Debian's xsimd names xtl, which its headers need for complex numbers alone, without depending on it
  set_property(TARGET xsimd PROPERTY INTERFACE_LINK_LIBRARIES "")
endif()
find_package(nlohmann_json 3.11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
find_path(QWEN3VL_STB_DIR stb/stb_image.h)  # compiled privately: nothing is linked
if(NOT QWEN3VL_STB_DIR)
  message(FATAL_ERROR "qwen3vl: stb/stb_image.h not found; install stb (Debian: libstb-dev)")
endif()
