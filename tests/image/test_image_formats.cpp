#include <qwen3vl/image/image.hpp>
#include "catch.hpp"
#include "picture_files.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;
using namespace std::string_literals;
using pictures::bytes;

namespace image_formats_test {

std::string refusal(const std::string& file, const std::string& name) {
    return message_of<ImageError>([&] { Image::decode(bytes(file), {}, name); });
}

/// An ISO base media file's first box with these brands.
std::string box(const std::string& brands) {
    return pictures::big_endian(static_cast<std::uint32_t>(brands.size() + 8)) + "ftyp" + brands;
}

const std::string readable = image::reads_webp ? "JPEG, PNG or WebP" : "JPEG or PNG";

TEST_CASE("pictures of other formats are told by name, with what to do") {
    const auto check = [](const std::string& file, const std::string& format) {
        CAPTURE(format);
        CHECK(refusal(file, "a") ==
              "a: expected a " + readable + " picture, found " + format + "; convert it to PNG or JPEG");
        CHECK_THROWS_AS(Image::probe(bytes(file)), ImageError);
    };
    check("GIF89a", "GIF");
    check("GIF87a", "GIF");
    check("BM" + std::string(30, '\0'), "BMP");
    check("II\x2a\0\x08"s, "TIFF");
    check("MM\0\x2a\0"s, "TIFF");
    check("II\x2b\0\x08"s, "TIFF");
    check(box("avif\0\0\0\0mif1miaf"s), "AVIF");
    check(box("mif1\0\0\0\0miafavif"s), "AVIF");
    check(box("heic\0\0\0\0mif1heic"s), "HEIC");
    check(box("heix\0\0\0\0mif1"s), "HEIC");
    check("\0\0\0\x0cjP  \r\n\x87\n"s, "JPEG 2000");
    check("\xff\x0a\x10", "JPEG XL");
    check("\0\0\0\x0cJXL \r\n\x87\n"s, "JPEG XL");
}

TEST_CASE("what is of no known format is told by its bytes") {
    for (const std::string& file :
         {"RIFF\x10\0\0\0WAVE"s, box("isom\0\0\0\0mp42"s), box(""), "\xff\xff\xff\xff" + "ftypheif"s, "%PDF-1.7"s})
        CHECK_THAT(refusal(file, "a"), contains("a: expected a " + readable + " picture, found bytes "));
    CHECK_THAT(refusal("B", "a"), contains("found bytes 42"));
}

#if !defined(QWEN3VL_WEBP)

TEST_CASE("without libwebp a WebP picture is refused by that name") {
    const auto file = pictures::data_file("webp/lossy.webp");
    const std::string expected =
        "a.webp: expected a JPEG or PNG picture, found WebP, which is read where the program is built with libwebp "
        "(Debian: libwebp-dev); "
        "build it so, or convert the picture to PNG or JPEG";
    CHECK(refusal(file, "a.webp") == expected);
    CHECK(message_of<ImageError>([&] { Image::probe(bytes(file), {}, "a.webp"); }) == expected);
}

#else

std::string little_endian(std::uint32_t value) {
    std::string s;
    for (int shift = 0; shift < 32; shift += 8) s += static_cast<char>(value >> shift & 0xff);
    return s;
}
std::string chunk(const std::string& type, const std::string& body) {
    return type + little_endian(static_cast<std::uint32_t>(body.size())) + body + std::string(body.size() % 2, '\0');
}
std::string riff(const std::string& chunks) { return chunk("RIFF", "WEBP" + chunks); }

/// The chunk VP8X of a canvas with these flags, and of so many pixels.
std::string canvas(int flags, std::uint32_t width, std::uint32_t height) {
    const auto u24 = [](std::uint32_t value) { return little_endian(value).substr(0, 3); };
    return chunk("VP8X", static_cast<char>(flags) + std::string(3, '\0') + u24(width - 1) + u24(height - 1));
}
/// The chunks of a simple file, which lacks a canvas.
std::string frame_of(const std::string& name) { return pictures::data_file(name).substr(12); }

TEST_CASE("WebP pictures have the pixels that PIL gives them, alpha dropped or composited") {
    for (const char* name : {"lossy", "lossy_alpha", "lossless", "lossless_alpha"}) {
        CAPTURE(name);
        const std::string path = test_data("/webp/") + name;
        CHECK(Image::open(path + ".webp") == Image::open(path + ".png"));
        const ImageOptions over{.background = Colour{200, 30, 90}};
        CHECK(Image::open(path + ".webp", over) == Image::open(path + ".png", over));
        const auto info = Image::probe(path + ".webp");
        CHECK(info.width == 37);
        CHECK(info.height == 22);
        CHECK(info.channels == (std::string(name).ends_with("alpha") ? 4 : 3));
    }
}

TEST_CASE("a WebP picture is turned as its EXIF chunk says") {
    const auto upright = Image::open(test_data("/webp/lossy.webp")), turned = Image::open(test_data("/webp/exif.webp"));
    REQUIRE(turned.width() == upright.height());
    REQUIRE(turned.height() == upright.width());
    for (const auto& [x, y] : {std::pair{0, 0}, std::pair{21, 0}, std::pair{3, 30}})
        for (std::ptrdiff_t c = 0; c < 3; ++c) CHECK(turned.row(y)[x * 3 + c] == upright.row(21 - x)[y * 3 + c]);
    CHECK(Image::open(test_data("/webp/exif.webp"), {.exif_orientation = false}) == upright);
    CHECK(Image::probe(test_data("/webp/exif.webp")).orientation == 6);

    constexpr int exif = 8;
    const auto orientation = [](const std::string& file) { return Image::probe(bytes(file)).orientation; };
    const std::string frame = frame_of("webp/lossy.webp"), tiff = pictures::exif(3, true),
                      start = canvas(exif, 37, 22) + frame;
    CHECK(orientation(riff(start + chunk("EXIF", tiff))) == 3);
    CHECK(orientation(riff(start + chunk("EXIF", "Exif\0\0"s + tiff))) == 3);
    CHECK(orientation(riff(start + chunk("EXIF", "II"))) == 1);
    CHECK(orientation(riff(start + chunk("EXIF", tiff) + chunk("EXIF", pictures::exif(6, false)))) == 3);
    CHECK(orientation(riff(canvas(0, 37, 22) + frame + chunk("EXIF", tiff))) == 1);  // not prefetched
    CHECK(orientation(riff(frame + chunk("EXIF", tiff))) == 1);
}

TEST_CASE("an animated WebP is refused by that name") {
    CHECK(refusal(pictures::data_file("webp/animated.webp"), "a.webp") ==
          "a.webp: expected a still picture, found an animated WebP; save its frames as PNG or JPEG");
}

TEST_CASE("the limits hold for WebP before anything is decoded") {
    const auto decode = [](const std::string& file) { return refusal(file, "a.webp"); };
    CHECK_THAT(decode(riff(canvas(0, 1 << 24, 1 << 24))),
               contains("a.webp: expected at most 64000000 pixels, found 16777216 x 16777216"));
    CHECK_THAT(decode(riff(canvas(0, 201, 1))), contains("ratio of at most 200"));
    CHECK_THAT(decode(riff(chunk("VP8L", "\x2f\xff\xff\xff\x0f"s))), contains("found 16384 x 16384"));
    CHECK_THAT(decode(riff(chunk("VP8 ", "\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"s))), contains("found 16383 x 16383"));
    CHECK_THAT(decode(riff(chunk("VP8 ", "\x10\0\0\x9d\x01\x2a\0\0\x05\0"s))), contains("at least 1 x 1, found 0 x 5"));
    CHECK_THAT(message_of<ImageError>([] { Image::open(test_data("/webp/lossy.webp"), {.max_pixels = 813}); }),
               contains("lossy.webp: expected at most 813 pixels, found 37 x 22"));
    CHECK_NOTHROW(Image::open(test_data("/webp/lossy.webp"), {.max_pixels = 814}));
}

TEST_CASE("damaged WebP headers are refused by name") {
    const auto decode = [](const std::string& file) { return refusal(file, "a.webp"); };
    CHECK_THAT(decode(riff("")), contains("at least one chunk, found none"));
    CHECK_THAT(decode(riff(chunk("ICCP", "none"))),
               contains("a.webp: expected a WebP file that begins with a chunk VP8, VP8L or VP8X"));
    CHECK_THAT(decode(riff(chunk("VP8X", "short"))), contains("expected a WebP canvas of 10 bytes"));
    CHECK_THAT(decode(riff(chunk("VP8L", "\x2e\0\0\0\0"s))), contains("a.webp: expected a WebP frame header"));
    CHECK_THAT(decode(riff(chunk("VP8L", "\x2f"))), contains("frame header"));
    CHECK_THAT(decode(riff(chunk("VP8 ", "\x11\0\0\x9d\x01\x2a\x05\0\x05\0"s))),
               contains("frame header"));  // no key frame
    CHECK_THAT(decode(riff(chunk("VP8 ", "\x10\0\0\x9d\x01\x2b\x05\0\x05\0"s))), contains("frame header"));
    CHECK_THAT(decode(riff(canvas(0, 37, 22))), contains("a.webp: "));
    CHECK_THAT(decode(riff(canvas(0, 38, 22) + frame_of("webp/lossy.webp"))), contains("a.webp: "));
}

TEST_CASE("a WebP cut off anywhere is refused, a damaged one gives an error or a picture") {
    std::mt19937 random(5);
    for (const char* name :
         {"webp/lossy.webp", "webp/lossy_alpha.webp", "webp/lossless_alpha.webp", "webp/exif.webp"}) {
        CAPTURE(name);
        const std::string whole = pictures::data_file(name);
        int accepted = 0;
        for (std::size_t size = 0; size < whole.size(); ++size) {
            const std::vector<char> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            accepted += message_of<ImageError>([&] { Image::decode(std::as_bytes(std::span(part))); }).empty();
        }
        CHECK(accepted == 0);
        for (int round = 0; round < 200; ++round) {
            std::string damaged = whole;
            for (int i = 0; i < 4; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
            CHECK_NOTHROW(message_of<Error>([&] { Image::decode(bytes(damaged), {.max_pixels = 1 << 20}); }));
        }
    }
    const std::string lossy = frame_of("webp/lossy.webp").substr(8),
                      lossless = frame_of("webp/lossless.webp").substr(8);
    CHECK_THAT(refusal(riff(chunk("VP8 ", lossy.substr(0, lossy.size() - 40))), "a.webp"),
               contains("a.webp: expected a whole picture"));
    CHECK_THAT(refusal(riff(chunk("VP8L", lossless.substr(0, lossless.size() - 40))), "a.webp"),
               contains("a.webp: expected decodable WebP data"));
}

#endif

}  // namespace image_formats_test
