#include <qwen3vl/image/preprocessor_config.hpp>
#include "catch.hpp"
#include "picture_files.hpp"

using namespace qwen3vl;
using Catch::Matchers::Contains;

TEST_CASE("pictures are preprocessed as the reference does") {
    const auto cases = checkpoint::SafetensorsFile::open(test_data("/image_cases.safetensors"));
    const auto config = image::read_preprocessor_config(test_data("/tiny/preprocessor_config.json"));
    int count = 0;
    for (const auto& [key, view] : cases.tensors()) {
        if (!key.ends_with(".pixel_values")) continue;
        const std::string name = key.substr(0, key.size() - std::string(".pixel_values").size());
        CAPTURE(name);
        const auto image = Image::open(test_data("/images/") + name);
        const auto patches = preprocess(image, config);
        CHECK(std::vector<std::int32_t>{patches.grid.t, patches.grid.h, patches.grid.w} ==
              pictures::values<std::int32_t>(cases, name + ".grid_thw"));
        CHECK(patches.grid == grid_of(image.width(), image.height(), config));
        const auto d = pictures::difference(patches.values, pictures::values<float>(cases, key));
        CAPTURE(d.largest, d.mean, d.equal);
        if (name.ends_with(".jpg"))
            CHECK(d.mean < 1);  // decoders may differ in their inverse DCT and chroma filter
        else
            CHECK(d.largest < 1e-4);  // the resampling is the reference's own arithmetic: every byte is equal
        ++count;
    }
    CHECK(count == 10);
}

TEST_CASE("smart_resize gives the reference's sizes") {
    struct Row {
        int height, width, factor;
        std::int64_t least, most;
        int expected_height, expected_width;
    };
    // from transformers 5.17, image_processing_qwen2_vl.smart_resize
    const Row rows[] = {{1, 1, 32, 65536, 16777216, 256, 256},
                        {3000, 4000, 32, 65536, 16777216, 3008, 4000},
                        {4000, 6000, 32, 65536, 16777216, 3328, 4992},
                        {48, 80, 32, 1, 1073741824, 64, 64},
                        {16, 16, 32, 1024, 65536, 32, 32},
                        {80, 112, 32, 4096, 65536, 64, 128},
                        {200, 1, 32, 4096, 65536, 928, 32},
                        {1080, 1920, 32, 65536, 1048576, 768, 1344},
                        {333, 251, 28, 3136, 1003520, 336, 252},
                        {20, 4000, 32, 65536, 262144, 32, 4000}};
    for (const auto& r : rows)
        CHECK(image::smart_resize(r.height, r.width, r.factor, r.least, r.most) ==
              image::PixelSize{r.expected_width, r.expected_height});
    CHECK_THROWS_WITH(image::smart_resize(1, 201, 32, 4096, 65536), Contains("found 201 x 1"));
    CHECK_THROWS_AS(image::smart_resize(0, 5, 32, 4096, 65536), ImageError);
    CHECK_THROWS_AS(image::smart_resize(5, 5, 32, std::int64_t{1} << 62, std::int64_t{1} << 62), ImageError);
}

TEST_CASE("patches are in merge-block order with the frame in every temporal slice") {
    PreprocessorConfig config{.min_pixels = 1, .max_pixels = 1 << 20};
    config.layout.patch = 2;
    config.layout.temporal_patch = 3;
    const auto image = Image::from_rgb(
        8, 4, pictures::noise(8, 4, 3));  // 4 x 2 patches of 2 x 2 pixels: two merge blocks side by side
    const auto patches = preprocess(image, config);
    REQUIRE(patches.grid == Grid{1, 2, 4});
    REQUIRE(patches.values.size() == 8 * 3 * 3 * 4);
    std::size_t i = 0;
    for (const auto& [row, column] : {std::pair{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}})
        for (int c = 0; c < 3; ++c)
            for (int t = 0; t < 3; ++t)
                for (int y = 0; y < 2; ++y)
                    for (int x = 0; x < 2; ++x)
                        CHECK(patches.values[i++] ==
                              (static_cast<float>(image.row(row * 2 + y)[(column * 2 + x) * 3 + c]) - 127.5f) / 127.5f);
}

TEST_CASE("preprocessor_config.json") {
    const auto parse = [](const char* text) { return image::parse_preprocessor_config(text, "p.json"); };
    CHECK(parse("{}") == PreprocessorConfig{});
    CHECK(parse("{}").min_pixels == 65536);
    CHECK(parse("{}").max_pixels == 16777216);
    const auto full = parse(
        R"({"size": {"shortest_edge": 100, "longest_edge": 2000}, "min_pixels": 300, "max_pixels": null, "patch_size": 14, "merge_size": 3,
        "temporal_patch_size": 1, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 1], "rescale_factor": 0.5, "do_resize": true, "resample": 3})");
    CHECK(full == PreprocessorConfig{{14, 3, 1, {.1f, .2f, .3f}, {.4f, .5f, 1.f}, .5}, 300, 2000});
    CHECK(parse(R"({"size": {"longest_edge": 70000}, "min_pixels": 5})").max_pixels == 70000);

    struct Bad {
        const char *text, *message;
    };
    const Bad bad[] = {{"{", "p.json"},
                       {"[]", "expected an object"},
                       {R"({"patch_size": "16"})", "'patch_size': expected an integer"},
                       {R"({"patch_size": 0})", "'patch_size': expected an integer from 1 to 256, found 0"},
                       {R"({"merge_size": 1.5})", "'merge_size'"},
                       {R"({"temporal_patch_size": 18446744073709551615})", "'temporal_patch_size'"},
                       {R"({"size": 3})", "size"},
                       {R"({"size": {"height": 3}})", "'size.shortest_edge'"},
                       {R"({"size": {"shortest_edge": 5, "longest_edge": 4}})", "5 above 4"},
                       {R"({"min_pixels": -1})", "'min_pixels'"},
                       {R"({"max_pixels": 99999999999999})", "'max_pixels'"},
                       {R"({"image_mean": 0.5})", "'image_mean'"},
                       {R"({"image_mean": [1, 2]})", "'image_mean'"},
                       {R"({"image_mean": [1, 2, "3"]})", "'image_mean'"},
                       {R"({"image_std": [0.5, 0.5, 0]})", "'image_std'"},
                       {R"({"rescale_factor": 0})", "'rescale_factor'"},
                       {R"({"do_normalize": false})", "'do_normalize': expected true"},
                       {R"({"resample": 2})", "'resample': expected 3"}};
    for (const auto& b : bad) {
        CAPTURE(b.text);
        CHECK_THROWS_AS(parse(b.text), ConfigError);
        CHECK_THROWS_WITH(parse(b.text), Contains(b.message) && Contains("p.json"));
    }
    CHECK_THROWS_AS(image::read_preprocessor_config("/does/not/exist.json"), FileError);
}

TEST_CASE("video_preprocessor_config.json") {
    const auto parse = [](const char* text) { return image::parse_video_preprocessor_config(text, "v.json"); };
    CHECK(parse("{}") == VideoPreprocessorConfig{});
    CHECK(parse("{}").max_pixels == 25165824);
    const auto shapes = image::read_video_preprocessor_config(test_models("/shapes/video_preprocessor_config.json"));
    CHECK(shapes.fps == 1);
    CHECK(shapes.min_frames == 2);
    CHECK(shapes.max_frames == 64);
    CHECK(shapes.min_pixels == 4096);
    CHECK(shapes.max_pixels == 196608);
    CHECK(parse(R"({"cap_pixels_per_frame": true, "max_video_tokens": 9})").max_video_tokens == 9);
    for (const char* text : {R"({"fps": 0})", R"({"fps": "2"})", R"({"min_frames": 0})",
                             R"({"min_frames": 9, "max_frames": 8})", R"({"cap_pixels_per_frame": 1})"})
        CHECK_THROWS_AS(parse(text), ConfigError);
}
