// A program that has its own, full stb_image: it keeps it, whichever stands first, and the library keeps its own.
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <qwen3vl/image/image.hpp>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#include "catch.hpp"
#include "picture_files.hpp"

#if !defined(STBI_VERSION) || defined(STBI_ONLY_JPEG) || defined(STBI_WRITE_NO_STDIO)
#error "the library changes the program's stb macros"
#endif

TEST_CASE("a program's own stb_image and the library's live side by side") {
    const std::string bmp =
        std::string("BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0", 30) +
        std::string(24, '\0') + "\x10\x20\x30" + std::string(1, '\0');
    int width = 0, height = 0, channels = 0;
    stbi_uc* pixel = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bmp.data()), static_cast<int>(bmp.size()),
                                           &width, &height, &channels, 3);
    REQUIRE(pixel);
    CHECK(pixel[0] == 0x30);
    stbi_image_free(pixel);
    CHECK_THROWS_AS(qwen3vl::Image::decode(pictures::bytes(bmp)), qwen3vl::ImageError);
    CHECK(qwen3vl::Image::open(test_data("/images/photo.jpg")).width() == 320);
}
