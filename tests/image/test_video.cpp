#include <qwen3vl/image/preprocessor_config.hpp>
#include "catch.hpp"
#include "picture_files.hpp"

using namespace qwen3vl;
using Catch::Matchers::Contains;

namespace {
Video recorded(const checkpoint::SafetensorsFile& file, const std::string& name) {
    const auto pixels = pictures::values<std::uint8_t>(file, name + ".frames");
    const auto& shape = file.at(name + ".frames").shape;
    const auto frame = static_cast<std::size_t>(shape[1] * shape[2] * 3);
    std::vector<Image> frames;
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape[0]); ++i)
        frames.push_back(Image::from_rgb(static_cast<int>(shape[2]), static_cast<int>(shape[1]),
                                         std::span(pixels).subspan(i * frame, frame)));
    return Video::from_frames(std::move(frames), pictures::values<float>(file, name + ".source_fps").at(0));
}

std::vector<Image> plain_frames(int count, int width = 32, int height = 32) {
    std::vector<Image> frames;
    for (int i = 0; i < count; ++i)
        frames.push_back(Image::from_gray(
            width, height,
            std::vector<std::uint8_t>(static_cast<std::size_t>(width * height), static_cast<std::uint8_t>(i))));
    return frames;
}
}  // namespace

TEST_CASE("clips are preprocessed as the reference does") {
    const auto cases = checkpoint::SafetensorsFile::open(test_data("/video_cases.safetensors"));
    int count = 0;
    for (const auto& [key, view] : cases.tensors()) {
        if (!key.ends_with(".pixel_values")) continue;
        const std::string name = key.substr(0, key.size() - std::string(".pixel_values").size());
        CAPTURE(name);
        const VideoPreprocessorConfig config{
            .min_pixels = 4096, .max_pixels = 98304, .fps = pictures::values<float>(cases, name + ".sample_fps").at(0)};
        const auto video = recorded(cases, name);
        const auto ours = preprocess(video, config);
        CHECK(ours.indices == pictures::values<int>(cases, name + ".indices"));
        CHECK(std::vector<float>(ours.times.begin(), ours.times.end()) ==
              pictures::values<float>(cases, name + ".times"));
        CHECK(std::vector<int>{ours.patches.grid.t, ours.patches.grid.h, ours.patches.grid.w} ==
              pictures::values<int>(cases, name + ".grid_thw"));
        CHECK(pictures::difference(ours.patches.values, pictures::values<float>(cases, key)).largest < 1e-4);
        const auto plan = plan_of(video, config);
        CHECK(plan.grid == ours.patches.grid);
        CHECK(plan.times == ours.times);
        CHECK(plan.indices == ours.indices);
        ++count;
    }
    CHECK(count == 4);
}

TEST_CASE("smart_resize_video gives the reference's sizes") {
    struct Row {
        int frames, height, width;
        std::int64_t least, most;
        bool capped;
        int expected_height, expected_width;
    };
    // from transformers 5.17, video_processing_qwen3_vl.smart_resize with factor 32
    const Row rows[] = {
        {2, 480, 640, 4096, 25165824, false, 480, 640},    {768, 720, 1280, 4096, 25165824, false, 128, 224},
        {5, 60, 90, 4096, 98304, false, 64, 96},           {3, 48, 48, 4096, 98304, false, 64, 64},
        {4, 10, 300, 4096, 98304, false, 32, 832},         {4, 300, 10, 65536, 98304, false, 832, 32},
        {7, 33, 130, 131072, 25165824, false, 96, 288},    {5, 31, 31, 4096, 25165824, false, 32, 32},
        {2, 16, 20, 65536, 25165824, false, 192, 224},     {6, 1080, 1920, 4096, 25165824, true, 640, 1152},
        {100, 1080, 1920, 4096, 25165824, true, 352, 640}, {5, 1080, 1920, 4096, 25165824, false, 1088, 1920}};
    for (const auto& r : rows) {
        const VideoPreprocessorConfig config{
            .min_pixels = r.least, .max_pixels = r.most, .cap_pixels_per_frame = r.capped};
        CAPTURE(r.frames, r.height, r.width);
        CHECK(image::smart_resize_video(r.frames, r.height, r.width, config) ==
              image::PixelSize{r.expected_width, r.expected_height});
    }
    CHECK_THROWS_WITH(image::smart_resize_video(1, 64, 64, {}), Contains("at least 2 frames, found 1"));
    CHECK_THROWS_AS(image::smart_resize_video(4, 1, 300, {}), ImageError);
    CHECK_THROWS_AS(image::smart_resize_video(4, 0, 300, {}), ImageError);
}

TEST_CASE("sample_frames gives numpy's indices") {
    const auto sampled = [](int total, double source_fps, double fps) {
        return image::sample_frames(total, source_fps, {.fps = fps});
    };
    // from transformers 5.17, Qwen3VLVideoProcessor.sample_frames
    CHECK(sampled(30, 12, 2) == std::vector{0, 7, 14, 22, 29});
    CHECK(sampled(10, 30, 2) == std::vector{0, 3, 6, 9});
    CHECK(sampled(1, 24, 2) == std::vector{0});
    CHECK(sampled(2, 1, 2) == std::vector{0, 1});
    CHECK(sampled(100, 29.97, 1) == std::vector{0, 33, 66, 99});
    CHECK(sampled(25, 25, 4) == std::vector{0, 8, 16, 24});
    CHECK(sampled(7, 3, 2) == std::vector{0, 2, 4, 6});
    CHECK(sampled(100000, 25, 1000).size() == 768);
    CHECK(sampled(2000000000, 1e-300, 1e300).size() == 768);
    CHECK(image::sample_frames(9, 30, {.fps = std::nullopt}).size() == 9);
    CHECK(image::sample_frames(9, 30, {.fps = std::nullopt, .max_frames = 3}) == std::vector{0, 4, 8});
}

TEST_CASE("an odd number of frames repeats the last one, times are the groups' means") {
    const VideoPreprocessorConfig all{.min_pixels = 1, .fps = std::nullopt};
    const auto ours = preprocess(Video::from_frames(plain_frames(3), std::vector{0.0, 0.5, 2.0}), all);
    CHECK(ours.indices == std::vector{0, 1, 2});
    CHECK(ours.times == std::vector{0.25, 2.0});
    REQUIRE(ours.patches.grid == Grid{2, 2, 2});
    const std::size_t row = all.layout.row_floats(), plane = 256;
    const auto level = [&](std::size_t group, std::size_t slice) {
        return std::lround(ours.patches.values[group * 4 * row + slice * plane] * 127.5f + 127.5f);
    };
    CHECK(level(0, 0) == 0);
    CHECK(level(0, 1) == 1);
    CHECK(level(1, 0) == 2);
    CHECK(level(1, 1) == 2);
    // times of its own stand for a rate: 3 frames in 2 seconds, at 1 frame a second and at least two of them
    CHECK(
        plan_of(Video::from_frames(plain_frames(3), std::vector{0.0, 0.5, 2.0}), {.fps = 1, .min_frames = 2}).indices ==
        std::vector{0, 1, 2});
}

TEST_CASE("a folder of frames") {
    const pictures::Folder folder;
    const auto frames = plain_frames(12);
    for (int i = 0; i < 12; ++i)
        frames[static_cast<std::size_t>(i)].write_png(folder /
                                                      ("frame" + std::to_string(i) + (i % 2 ? ".PNG" : ".png")));
    folder.write(".hidden", "not a frame");
    const auto video = Video::open_folder(folder.path, 4);
    REQUIRE(video.frame_count() == 12);
    for (int i = 0; i < 12; ++i) CHECK(video.frame(i)->pixels()[0] == i);  // natural order: frame2 before frame10
    CHECK(video.time(6) == 1.5);
    const VideoPreprocessorConfig config{.min_pixels = 1, .fps = 2};
    const auto ours = preprocess(video, config);
    CHECK(ours.patches.values == preprocess(Video::from_frames(frames, 4), config).patches.values);

    SECTION("a file that is no frame") {
        folder.write("notes.txt", "x");
        CHECK_THROWS_WITH(Video::open_folder(folder.path, 4), Contains("found 'notes.txt'"));
    }
    SECTION("a frame of another size") {
        plain_frames(1, 40, 32)[0].write_png(folder / "frame99.png");
        CHECK_THROWS_WITH(Video::open_folder(folder.path, 4),
                          Contains("frame99.png: expected the first frame's size 32 x 32, found 40 x 32"));
    }
    SECTION("a frame that is no picture") {
        folder.write("frame99.png", "GIF89a");
        CHECK_THROWS_WITH(Video::open_folder(folder.path, 4), Contains("frame99.png: expected a JPEG"));
    }
    SECTION("a frame that changes after opening") {
        plain_frames(1, 40, 32)[0].write_png(folder / "frame0.png");
        CHECK_THROWS_AS(preprocess(video, config), ImageError);
        std::filesystem::remove(folder / "frame0.png");
        CHECK_THROWS_AS(preprocess(video, config), FileError);
    }
    const pictures::Folder empty;
    CHECK_THROWS_WITH(Video::open_folder(empty.path, 4), Contains("found none"));
    CHECK_THROWS_AS(Video::open_folder(empty / "none", 4), FileError);
}

TEST_CASE("clips that make no sense are refused") {
    CHECK_THROWS_AS(Video::from_frames({}, 2.0), ImageError);
    CHECK_THROWS_AS(Video::from_files({}, 2.0), ImageError);
    for (const double fps : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)})
        CHECK_THROWS_AS(Video::from_frames(plain_frames(2), fps), ImageError);
    CHECK_THROWS_AS(Video::from_frames(plain_frames(2), std::vector{0.0}), ImageError);
    CHECK_THROWS_AS(Video::from_frames(plain_frames(2), std::vector{1.0, 1.0}), ImageError);
    CHECK_THROWS_AS(Video::from_frames(plain_frames(2), std::vector{0.0, static_cast<double>(NAN)}), ImageError);
    auto mixed = plain_frames(2);
    mixed.push_back(plain_frames(1, 16, 32)[0]);
    CHECK_THROWS_WITH(Video::from_frames(std::move(mixed), 2.0),
                      Contains("frame 2: expected the first frame's size 32 x 32, found 16 x 32"));
    CHECK_THROWS_AS(preprocess(Video::from_frames(plain_frames(1), 2.0), VideoPreprocessorConfig{}), ImageError);
}

TEST_CASE("natural order of names") {
    using image::natural_less;
    CHECK(natural_less("2.png", "10.png"));
    CHECK_FALSE(natural_less("10.png", "2.png"));
    CHECK(natural_less("a9b2", "a9b10"));
    CHECK(natural_less("a", "a1"));
    CHECK(natural_less("007", "8"));
    CHECK(natural_less("01", "1"));
    CHECK_FALSE(natural_less("1", "1"));
    CHECK(natural_less("99999999999999999999998", "99999999999999999999999"));
    CHECK(natural_less("frame_1_b", "frame_2_a"));
}
