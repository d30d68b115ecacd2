#include <qwen3vl/image/grounding.hpp>
#include <random>
#include <string>
#include "catch.hpp"

using namespace qwen3vl::image;

TEST_CASE("boxes are scaled from thousandths to pixels") {
    CHECK(to_pixels({100, 250, 500, 1000}, 640, 480) == PixelBox{64, 120, 320, 480});
    CHECK(to_pixels({500, 1000, 100, 250}, 640, 480) == PixelBox{64, 120, 320, 480});
    CHECK(to_pixels({-50, -1e300, 5000, 1e300}, 640, 480) == PixelBox{0, 0, 640, 480});
    CHECK(to_pixels({333, 333, 334, 334}, 100, 100) == PixelBox{33, 33, 33, 33});
}

TEST_CASE("detections are found in any of the forms models write") {
    const Detection circle{{10, 20, 300, 400}, "red circle"}, square{{1, 2.5, 3, 4}, "a \"square\" {box}"};
    const std::string first = R"({"bbox_2d": [10, 20, 300, 400], "label": "red circle"})";
    const std::string second = R"({"label": "a \"square\" {box}", "bbox_2d": [1, 2.5, 3, 4], "extra": null})";
    CHECK(parse_detections(first) == std::vector{circle});
    CHECK(parse_detections("[" + first + ", " + second + "]") == std::vector{circle, square});
    CHECK(parse_detections("```json\n[\n\t" + first + ",\n\t" + second + "\n]\n```") == std::vector{circle, square});
    CHECK(parse_detections("The circle {here} is at " + first + "\nand\n" + second + ".") ==
          std::vector{circle, square});
    CHECK(parse_detections("{\"objects\": [" + first + "]}") == std::vector{circle});
    CHECK(parse_detections("{ \"unclosed " + std::string("\n") + first) == std::vector{circle});
    CHECK(parse_detections("[" + first + ", {\"bbox_2d\": [1, 2") == std::vector{circle});
    CHECK(parse_detections(R"({"bbox_2d": [1, 2, 3, 4]})") == std::vector{Detection{{1, 2, 3, 4}, ""}});
}

TEST_CASE("what is no detection is passed over") {
    for (const char* text :
         {"", "no boxes", "{}", "{", "}", "{\"", "[1, 2, 3, 4]", R"({"bbox_2d": [1, 2, 3]})",
          R"({"bbox_2d": [1, 2, 3, "4"]})", R"({"bbox_2d": "1, 2, 3, 4"})", R"({"bbox_2d": [1, 2, 3, 1e999]})",
          R"({"bbox": [1, 2, 3, 4]})", "{\"bbox_2d\": [1, 2, 3, 4], \"label\": \"\xff\"}"})
        CHECK(parse_detections(text).empty());
    CHECK(parse_detections(R"({"bbox_2d": [1, 2, 3, 4], "label": 5})") == std::vector{Detection{{1, 2, 3, 4}, ""}});
}

TEST_CASE("hostile answers cost linear time") {
    for (const std::string piece : {"{", "{\"", "{\"a", "}", "[", "{\"bbox_2d\":[", "\\{\"\\"}) {
        std::string text;
        while (text.size() < 200000) text += piece;
        CHECK(parse_detections(text).empty());
    }
    std::mt19937 random(1);
    for (int round = 0; round < 2000; ++round) {
        std::string text = R"([{"bbox_2d": [10, 20, 300, 400], "label": "red circle"}])";
        for (int i = 0; i < 3; ++i) text[random() % text.size()] = static_cast<char>(random());
        CHECK(parse_detections(text).size() <= 1);
    }
}
