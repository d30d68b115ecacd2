#pragma once
#include <emmintrin.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/image/stb_memory.hpp>

// stb_image (JPEG and PNG only) and stb_image_write, compiled as internal functions of a namespace of this library. So
// a program may have an implementation of its own: in another file, in libstb, or in this very file. Every macro that
// steers stb is saved before and restored after; all others that stb leaves defined are removed. The headers that stb
// includes stand above, outside the namespace.
#pragma GCC system_header
// Names stand in full: g++ carries out no _Pragma of a macro while it only preprocesses.
#pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_STATIC")
#pragma push_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_WRITE_STATIC")
#pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma push_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma push_macro("STBI_VERSION")
#pragma push_macro("STBIDEF")
#pragma push_macro("STBIWDEF")
#pragma push_macro("STBI_ONLY_JPEG")
#pragma push_macro("STBI_ONLY_PNG")
#pragma push_macro("STBI_NO_JPEG")
#pragma push_macro("STBI_NO_PNG")
#pragma push_macro("STBI_NO_BMP")
#pragma push_macro("STBI_NO_GIF")
#pragma push_macro("STBI_NO_PIC")
#pragma push_macro("STBI_NO_PNM")
#pragma push_macro("STBI_NO_PSD")
#pragma push_macro("STBI_NO_TGA")
#pragma push_macro("STBI_NO_ZLIB")
#pragma push_macro("STBI_NO_STDIO")
#pragma push_macro("STBI_NO_LINEAR")
#pragma push_macro("STBI_NO_HDR")
#pragma push_macro("STBI_WRITE_NO_STDIO")
#pragma push_macro("STBI_MAX_DIMENSIONS")
#pragma push_macro("STBI_ASSERT")
#pragma push_macro("STBIW_ASSERT")
#pragma push_macro("STBI_MALLOC")
#pragma push_macro("STBI_REALLOC")
#pragma push_macro("STBI_REALLOC_SIZED")
#pragma push_macro("STBI_FREE")
#pragma push_macro("STBIW_MALLOC")
#pragma push_macro("STBIW_REALLOC")
#pragma push_macro("STBIW_REALLOC_SIZED")
#pragma push_macro("STBIW_FREE")
#pragma push_macro("STBIW_MEMMOVE")
#include <qwen3vl/image/stb_undef.hpp>

// g++ does not mangle the name of a static function in an extern "C" block; without this macro stb opens none.
#if !defined(__clang__)
#pragma push_macro("__cplusplus")
#undef __cplusplus
#endif

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_WRITE_NO_STDIO
#define STBI_ASSERT(condition) ((condition) ? void() : throw_stb_assertion(#condition))
#define STBIW_ASSERT(condition) ((condition) ? void() : throw_stb_assertion(#condition))
#define STBI_MALLOC(size) StbMemory::allocate(size)
#define STBI_REALLOC_SIZED(p, old_size, size) StbMemory::reallocate(p, old_size, size)
#define STBI_FREE(p) StbMemory::release(p)

// On damaged files stb lets sums and shifts overflow, and copies nothing from nowhere. The results are only wrong
// pixels or an error; what could reach memory that is not its own stays under the sanitizers' eyes.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("signed-integer-overflow", "shift", "nonnull-attribute"))), \
                             apply_to = function)
#endif
// -O3 makes the decoders no faster, and their compilation twice as long: two of some thirty seconds of a program's.
#if !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC push_options
#pragma GCC optimize("O2")
#endif
namespace qwen3vl::inline QWEN3VL_ABI::image::stb {
[[noreturn]] inline void throw_stb_assertion(const char* condition) {
    throw ImageError(std::string("the decoder's assumption fails: ") + condition);
}
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#else
#include <stb_image.h>
#include <stb_image_write.h>
#endif
}  // namespace qwen3vl::image::stb
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__OPTIMIZE__)
#pragma GCC pop_options
#endif

#if !defined(__clang__)
#pragma pop_macro("__cplusplus")
#endif

#include <qwen3vl/image/stb_undef.hpp>
#pragma pop_macro("STBIW_MEMMOVE")
#pragma pop_macro("STBIW_FREE")
#pragma pop_macro("STBIW_REALLOC_SIZED")
#pragma pop_macro("STBIW_REALLOC")
#pragma pop_macro("STBIW_MALLOC")
#pragma pop_macro("STBI_FREE")
#pragma pop_macro("STBI_REALLOC_SIZED")
#pragma pop_macro("STBI_REALLOC")
#pragma pop_macro("STBI_MALLOC")
#pragma pop_macro("STBIW_ASSERT")
#pragma pop_macro("STBI_ASSERT")
#pragma pop_macro("STBI_MAX_DIMENSIONS")
#pragma pop_macro("STBI_WRITE_NO_STDIO")
#pragma pop_macro("STBI_NO_HDR")
#pragma pop_macro("STBI_NO_LINEAR")
#pragma pop_macro("STBI_NO_STDIO")
#pragma pop_macro("STBI_NO_ZLIB")
#pragma pop_macro("STBI_NO_TGA")
#pragma pop_macro("STBI_NO_PSD")
#pragma pop_macro("STBI_NO_PNM")
#pragma pop_macro("STBI_NO_PIC")
#pragma pop_macro("STBI_NO_GIF")
#pragma pop_macro("STBI_NO_BMP")
#pragma pop_macro("STBI_NO_PNG")
#pragma pop_macro("STBI_NO_JPEG")
#pragma pop_macro("STBI_ONLY_PNG")
#pragma pop_macro("STBI_ONLY_JPEG")
#pragma pop_macro("STBIWDEF")
#pragma pop_macro("STBIDEF")
#pragma pop_macro("STBI_VERSION")
#pragma pop_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma pop_macro("STB_IMAGE_WRITE_STATIC")
#pragma pop_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma pop_macro("STB_IMAGE_STATIC")
#pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
