#include <qwen3vl/image/image.hpp>
#include "catch.hpp"
#include "picture_files.hpp"

using namespace qwen3vl;
using Catch::Matchers::Contains;
using pictures::bytes;

namespace image_test {
std::array<int, 3> pixel(const Image& image, int x, int y) {
    const auto* p = image.row(y) + std::ptrdiff_t{3} * x;
    return {p[0], p[1], p[2]};
}

/// The source position of pixel (x, y) of a width x height picture that was turned by an EXIF orientation, from the
/// standard's table of where row 0 and column 0 of the stored picture are shown.
std::pair<int, int> stored_position(int orientation, int x, int y, int width, int height) {
    switch (orientation) {
        case 2: return {width - 1 - x, y};
        case 3: return {width - 1 - x, height - 1 - y};
        case 4: return {x, height - 1 - y};
        case 5: return {y, x};
        case 6: return {y, width - 1 - x};
        case 7: return {height - 1 - y, width - 1 - x};
        case 8: return {height - 1 - y, x};
        default: return {x, y};
    }
}

void check_turned(const Image& turned, const Image& upright, int orientation) {
    REQUIRE(turned.width() == (orientation >= 5 ? upright.height() : upright.width()));
    REQUIRE(turned.height() == (orientation >= 5 ? upright.width() : upright.height()));
    int different = 0;
    for (int y = 0; y < turned.height(); ++y)
        for (int x = 0; x < turned.width(); ++x) {
            const auto [u, v] = stored_position(orientation, x, y, turned.width(), turned.height());
            different += pixel(turned, x, y) != pixel(upright, u, v);
        }
    CHECK(different == 0);
}

TEST_CASE("all eight EXIF orientations, JPEG and PNG, both byte orders") {
    const std::string jpeg = pictures::data_file("images/photo.jpg");
    const auto upright = Image::decode(bytes(jpeg));
    const auto colours = pictures::noise(5, 3, 3);
    std::string rows;
    for (std::size_t y = 0; y < 3; ++y)
        rows += '\0' + std::string(reinterpret_cast<const char*>(colours.data()) + y * 15, 15);
    for (int orientation = 1; orientation <= 8; ++orientation)
        for (const bool big : {false, true}) {
            CAPTURE(orientation, big);
            const auto tiff = pictures::exif(orientation, big);
            const std::string turned = pictures::with_exif(jpeg, tiff);
            check_turned(Image::decode(bytes(turned)), upright, orientation);
            const auto info = Image::probe(bytes(turned));
            CHECK(info.orientation == orientation);
            CHECK(info.width == (orientation >= 5 ? 200 : 320));
            CHECK(info.height == (orientation >= 5 ? 320 : 200));
            CHECK(Image::decode(bytes(turned), {.exif_orientation = false}) == upright);
            CHECK(Image::probe(bytes(turned), {.exif_orientation = false}).width == 320);

            const std::string png = pictures::png(5, 3, 8, 2, rows, pictures::chunk("eXIf", tiff));
            check_turned(Image::decode(bytes(png)), Image::from_rgb(5, 3, colours), orientation);
        }
}

TEST_CASE("a damaged EXIF block leaves the picture upright") {
    const std::string jpeg = pictures::data_file("images/photo.jpg"), good = pictures::exif(6, true);
    for (std::size_t cut = 0; cut < good.size() - 6; ++cut)
        CHECK(Image::probe(bytes(pictures::with_exif(jpeg, good.substr(0, cut)))).width == 320);
    CHECK(Image::probe(bytes(pictures::with_exif(jpeg, pictures::exif(9, true)))).orientation == 1);
    CHECK(Image::probe(bytes(pictures::with_exif(jpeg, pictures::exif(0, false)))).orientation == 1);
    for (const std::size_t at :
         {std::size_t{4}, std::size_t{8}}) {  // a directory, or a count of entries, beyond the block
        std::string bad = good;
        bad[at] = bad[at + 1] = '\xff';
        CHECK_NOTHROW(Image::probe(bytes(pictures::with_exif(jpeg, bad))));
    }
}

TEST_CASE("gray, palette, transparency and 16 bits become RGB as PIL's convert does") {
    SECTION("gray of 1, 2, 4, 8 and 16 bits") {
        const auto first_two = [](const std::string& file) {
            const auto image = Image::decode(bytes(file));
            CHECK(pixel(image, 0, 0)[0] == pixel(image, 0, 0)[2]);
            return std::pair(pixel(image, 0, 0)[0], pixel(image, 1, 0)[1]);
        };
        CHECK(first_two(pictures::png(2, 1, 1, 0, std::string("\0\x40", 2))) == std::pair(0, 255));
        CHECK(first_two(pictures::png(2, 1, 2, 0, std::string("\0\x60", 2))) == std::pair(85, 170));
        CHECK(first_two(pictures::png(2, 1, 4, 0, std::string("\0\x1f", 2))) == std::pair(17, 255));
        CHECK(first_two(pictures::png(2, 1, 8, 0, std::string("\0\x1f\x80", 3))) == std::pair(31, 128));
        CHECK(first_two(pictures::png(2, 1, 16, 0, std::string("\0\x1f\xff\x80\x01", 5))) == std::pair(31, 128));
    }
    SECTION("RGB of 16 bits keeps the upper byte") {
        CHECK(pixel(Image::decode(bytes(pictures::png(1, 1, 16, 2, std::string("\0\x10\xff\x20\xff\x30\xff", 7)))), 0,
                    0) == std::array{0x10, 0x20, 0x30});
    }
    SECTION("a palette, with and without a transparent entry") {
        const std::string palette = pictures::chunk("PLTE", "\x01\x02\x03\x10\x20\x30"), rows("\0\1\0", 3);
        for (const auto& extra : {palette, palette + pictures::chunk("tRNS", std::string("\xff\0", 2))}) {
            const auto image = Image::decode(bytes(pictures::png(2, 1, 8, 3, rows, extra)));
            CHECK(pixel(image, 0, 0) == std::array{0x10, 0x20, 0x30});
            CHECK(pixel(image, 1, 0) == std::array{1, 2, 3});
        }
    }
    SECTION("alpha is dropped, or composited over a colour") {
        const std::string file = pictures::png(2, 1, 8, 6, std::string("\0\x64\x32\0\x80\x0a\x14\x1e\0", 9));
        CHECK(pixel(Image::decode(bytes(file)), 0, 0) == std::array{100, 50, 0});
        const auto over_white = Image::decode(bytes(file), {.background = Colour{255, 255, 255}});
        CHECK(pixel(over_white, 0, 0) ==
              std::array{177, 152, 127});  // (100 * 128 + 255 * 127) / 255 and so on, rounded
        CHECK(pixel(over_white, 1, 0) == std::array{255, 255, 255});
        CHECK(pixel(Image::decode(bytes(pictures::png(1, 1, 8, 2, std::string("\0\x01\x02\x03", 4))),
                                  {.background = Colour{9, 9, 9}}),
                    0, 0) == std::array{1, 2, 3});
    }
}

TEST_CASE("probe tells what decode gives") {
    for (const char* name : {"alpha.png", "dot.png", "down.png", "gray.png", "palette.png", "photo.jpg",
                             "progressive.jpg", "same.png", "thin.png", "up.png"}) {
        const std::string path = test_data("/images/") + name;
        const auto info = Image::probe(path);
        const auto image = Image::open(path);
        CHECK(info.width == image.width());
        CHECK(info.height == image.height());
    }
    CHECK(Image::probe(test_data("/images/alpha.png")).channels == 4);
    CHECK(Image::probe(test_data("/images/gray.png")).channels == 1);
}

TEST_CASE("limits are held before decoding, with errors that name the picture") {
    const std::string bomb = pictures::png(20000, 20000, 8, 2, "");
    CHECK_THROWS_WITH(Image::decode(bytes(bomb), {}, "bomb.png"),
                      Contains("bomb.png: expected at most 64000000 pixels, found 20000 x 20000"));
    CHECK_THROWS_WITH(Image::probe(bytes(bomb), {}, "bomb.png"), Contains("20000 x 20000"));
    CHECK_THROWS_WITH(Image::decode(bytes(pictures::png(201, 1, 8, 0, ""))), Contains("ratio of at most 200"));
    CHECK_THROWS_WITH(Image::decode(bytes(pictures::png(0, 5, 8, 0, ""))), Contains("found 0 x 5"));
    CHECK_THROWS_AS(Image::decode(bytes(pictures::png(0xffffffff, 0xffffffff, 8, 0, ""))), ImageError);
    CHECK_THROWS_WITH(Image::open(test_data("/images/photo.jpg"), {.max_pixels = 63999}),
                      Contains("photo.jpg: expected at most 63999 pixels, found 320 x 200"));
    CHECK_NOTHROW(Image::open(test_data("/images/photo.jpg"), {.max_pixels = 64000}));
    std::string no_height = pictures::data_file("images/photo.jpg");
    const std::size_t frame = no_height.find("\xff\xc0");
    REQUIRE(frame != std::string::npos);
    no_height[frame + 5] = no_height[frame + 6] = '\0';
    CHECK_THROWS_WITH(Image::decode(bytes(no_height)), Contains("found 320 x 0"));
}

TEST_CASE("other formats are refused by their first bytes") {
    CHECK_THROWS_WITH(Image::decode(bytes("no picture"), {}, "a.png"), Contains("picture, found bytes 6e 6f 20 70"));
    CHECK_THROWS_WITH(Image::decode({}), Contains("found no bytes"));
    CHECK_THROWS_AS(Image::open("/does/not/exist.png"), FileError);
    std::string arithmetic = pictures::data_file("images/photo.jpg");
    arithmetic[arithmetic.find("\xff\xc0") + 1] = '\xc9';
    CHECK_THROWS_WITH(Image::decode(bytes(arithmetic)), Contains("baseline or progressive"));
}

TEST_CASE("a file cut off anywhere is refused") {
    for (const char* name : {"images/photo.jpg", "images/progressive.jpg", "images/palette.png", "images/dot.png"}) {
        const std::string whole = pictures::data_file(name);
        CAPTURE(name);
        const std::size_t step = std::max<std::size_t>(1, whole.size() / 300);
        int accepted = 0;
        for (std::size_t size = 0; size < whole.size(); size += size + 40 < whole.size() ? step : 1) {
            // an allocation of its own, so that a sanitizer sees a read beyond the end
            const std::vector<char> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            try {
                Image::decode(std::as_bytes(std::span(part)));
                // PNG's last 16 bytes: the checksum of the data (which stb does not read) and the empty end chunk
                accepted += size + 4 < whole.size();
            } catch (const ImageError&) {
            }
        }
        CHECK(accepted == 0);
    }
}

TEST_CASE("damaged files give an error or a picture, never more") {
    std::mt19937 random(3);
    for (const char* name : {"images/photo.jpg", "images/progressive.jpg", "images/palette.png", "images/alpha.png"}) {
        const std::string whole = pictures::data_file(name);
        int errors = 0;
        for (int round = 0; round < 150; ++round) {
            std::string damaged = whole;
            for (int i = 0; i < 4; ++i)
                damaged[random() % (round % 2 ? damaged.size() : 200)] = static_cast<char>(random());
            try {
                const auto image = Image::decode(bytes(damaged), {.max_pixels = 1 << 20});
                CHECK(image.pixels().size() ==
                      static_cast<std::size_t>(image.width()) * static_cast<std::size_t>(image.height()) * 3);
            } catch (const ImageError&) {
                ++errors;
            }
        }
        CHECK(errors > 0);
    }
}

TEST_CASE("data that unpack to far more than the picture are refused within the memory limit") {
    std::vector<unsigned char> zeros(std::size_t{64} << 20);
    int size = 0;
    unsigned char* packed = image::stb::stbi_zlib_compress(zeros.data(), static_cast<int>(zeros.size()), &size, 8);
    const std::string header = pictures::big_endian(4) + pictures::big_endian(4) + std::string("\x08\0\0\0\0", 5);
    const std::string bomb =
        "\x89PNG\r\n\x1a\n" + pictures::chunk("IHDR", header) +
        pictures::chunk("IDAT", {reinterpret_cast<char*>(packed), static_cast<std::size_t>(size)}) +
        pictures::chunk("IEND", "");
    std::free(packed);
    CHECK_THROWS_WITH(Image::decode(bytes(bomb), {}, "bomb.png"),
                      Contains("bomb.png: expected decodable PNG data, found: outofmem"));
}

TEST_CASE("a JPEG of countless scans is refused") {
    const std::string whole = pictures::data_file("images/progressive.jpg");
    const std::size_t scan = whole.find("\xff\xda");
    std::string scans;
    for (int i = 0; i < 200; ++i) scans += whole.substr(scan, 16);
    CHECK_THROWS_WITH(Image::decode(bytes(whole.substr(0, scan) + scans + whole.substr(scan))),
                      Contains("at most 100 JPEG scans"));
}

TEST_CASE("Huffman tables that would not fit the decoder's are refused") {
    const std::string jpeg = pictures::data_file("images/photo.jpg");
    const std::size_t table = jpeg.find("\xff\xc4");
    std::string many = jpeg;
    for (std::size_t i = 0; i < 16; ++i) many[table + 5 + i] = '\xff';
    CHECK_THROWS_WITH(Image::decode(bytes(many), {}, "many.jpg"),
                      Contains("many.jpg: expected Huffman tables of at most 256 codes"));
    std::string short_segment = jpeg;
    short_segment[table + 3] = 3;  // one byte of a table
    CHECK_THROWS_AS(Image::decode(bytes(short_segment)), ImageError);
}

TEST_CASE("four-channel JPEGs need to say what they are") {
    std::string jpeg = pictures::data_file("images/photo.jpg");
    const std::size_t frame = jpeg.find("\xff\xc0");
    jpeg[frame + 9] = 4;                                       // four components,
    jpeg[frame + 3] = static_cast<char>(jpeg[frame + 3] + 3);  // three bytes more of them
    jpeg.insert(frame + 19, std::string("\x04\x11\x01", 3));
    CHECK_THROWS_WITH(Image::decode(bytes(jpeg)), Contains("CMYK or YCCK"));
}

TEST_CASE("pictures from memory") {
    const auto rgba = pictures::noise(4, 2, 4);
    const auto dropped = Image::from_rgba(4, 2, rgba);
    CHECK(pixel(dropped, 3, 1) == std::array<int, 3>{rgba[28], rgba[29], rgba[30]});
    const auto over = Image::from_rgba(1, 1, std::vector<std::uint8_t>{200, 0, 0, 51}, Colour{0, 0, 255});
    CHECK(pixel(over, 0, 0) == std::array{40, 0, 204});
    const auto gray = Image::from_gray(2, 1, std::vector<std::uint8_t>{7, 8});
    CHECK(pixel(gray, 1, 0) == std::array{8, 8, 8});
    CHECK_THROWS_WITH(Image::from_rgb(2, 2, std::vector<std::uint8_t>(11)),
                      Contains("expected 12 bytes for 2 x 2 pixels of 3 channels, found 11"));
    CHECK_THROWS_AS(Image::from_rgb(0, 2, std::vector<std::uint8_t>()), ImageError);
    CHECK_THROWS_AS(Image::from_gray(-1, -1, std::vector<std::uint8_t>(1)), ImageError);
    CHECK_THROWS_AS(Image::from_rgb(2147483647, 2147483647, std::vector<std::uint8_t>(1)), ImageError);
}

TEST_CASE("write_png and open give the same pixels") {
    const pictures::Folder folder;
    for (const auto& [width, height] : {std::pair{1, 1}, std::pair{37, 5}, std::pair{200, 131}}) {
        const auto image = Image::from_rgb(width, height, pictures::noise(width, height, 3));
        image.write_png(folder / "a.png");
        CHECK(Image::open(folder / "a.png") == image);
    }
    CHECK_THROWS_AS(Image::from_gray(1, 1, std::vector<std::uint8_t>(1)).write_png(folder / "none/a.png"), FileError);
}

TEST_CASE("draw_box draws a frame and stays inside the picture") {
    auto image = Image::from_gray(10, 8, std::vector<std::uint8_t>(80));
    const Colour red{255, 0, 0};
    draw_box(image, 7, 6, 2, 1, red, 2);
    const auto count = [&] {
        int n = 0;
        for (int y = 0; y < image.height(); ++y)
            for (int x = 0; x < image.width(); ++x) n += pixel(image, x, y)[0] == 255;
        return n;
    };
    CHECK(count() == 6 * 6 - 2 * 2);
    CHECK(pixel(image, 2, 1) == std::array{255, 0, 0});
    CHECK(pixel(image, 4, 3) == std::array{0, 0, 0});
    draw_box(image, -2147483647 - 1, -2147483647 - 1, 2147483647, 2147483647, red, 5);
    CHECK(count() == 6 * 6 - 2 * 2);
    draw_box(image, -5, 3, 100, 3, red, 1);
    CHECK(count() == 6 * 6 - 2 * 2 + 10 - 4);
}

TEST_CASE("content_hash tells apart pixels, sizes and places") {
    const auto base = pictures::noise(12, 4, 3);
    const auto hash = Image::from_rgb(12, 4, base).content_hash();
    CHECK(hash == Image::from_rgb(12, 4, base).content_hash());
    CHECK(hash != Image::from_rgb(4, 12, base).content_hash());
    for (std::size_t i = 0; i < base.size(); ++i) {
        auto changed = base;
        changed[i] ^= 1;
        const auto other = Image::from_rgb(12, 4, changed).content_hash();
        CHECK((other[0] != hash[0] && other[1] != hash[1]));
    }
    CHECK(Image::from_gray(1, 1, std::vector<std::uint8_t>{0}).content_hash() !=
          Image::from_gray(1, 2, std::vector<std::uint8_t>{0, 0}).content_hash());
}

}  // namespace image_test
