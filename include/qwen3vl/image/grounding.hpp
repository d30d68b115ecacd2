#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <qwen3vl/core/error.hpp>
#include <string_view>
#include <vector>

/// Boxes in a model's answer: `{"bbox_2d": [x1, y1, x2, y2], "label": "…"}`, in thousandths of the picture's width and
/// height.
namespace qwen3vl::inline QWEN3VL_ABI::image {

/// Corners in thousandths of the picture's sides, as the model wrote them.
struct Box {
    double x1 = 0, y1 = 0, x2 = 0, y2 = 0;  ///< left, top, right, bottom, 0 to 1000
    bool operator==(const Box&) const = default;
};

/// Corners in pixels, x1 <= x2 and y1 <= y2, inside the picture.
struct PixelBox {
    int x1 = 0, y1 = 0, x2 = 0, y2 = 0;  ///< left, top, right, bottom
    bool operator==(const PixelBox&) const = default;
};

/// A box with what it is said to hold.
struct Detection {
    Box box;            ///< in thousandths of the sides
    std::string label;  ///< empty where the answer gives none
    bool operator==(const Detection&) const = default;
};

/// Scales a box to a picture of width x height pixels: rounded to the nearest pixel edge, cut to the picture, corners
/// put in order.
inline PixelBox to_pixels(const Box& box, int width, int height) {
    const auto scaled = [](double thousandths, int side) {
        return static_cast<int>(std::clamp(std::round(thousandths / 1000 * side), 0.0, static_cast<double>(side)));
    };
    const auto [x1, x2] = std::minmax({scaled(box.x1, width), scaled(box.x2, width)});
    const auto [y1, y2] = std::minmax({scaled(box.y1, height), scaled(box.y2, height)});
    return {x1, y1, x2, y2};
}

namespace detail {

/// The detection that one JSON object describes, if it does.
inline std::optional<Detection> detection_of(std::string_view object) {
    const auto json = nlohmann::json::parse(object, nullptr, false);
    if (!json.is_object()) return {};
    const auto box = json.find("bbox_2d"), label = json.find("label");
    if (box == json.end() || !box->is_array() || box->size() != 4) return {};
    std::array<double, 4> corners{};
    for (std::size_t i = 0; i < 4; ++i) {
        if (!(*box)[i].is_number()) return {};
        corners[i] = (*box)[i].get<double>();
        if (!std::isfinite(corners[i])) return {};
    }
    return Detection{{corners[0], corners[1], corners[2], corners[3]},
                     label != json.end() && label->is_string() ? label->get<std::string>() : std::string()};
}

}  // namespace detail

/// All detections of an answer, in order: single objects, JSON lists, fenced blocks, one object a line, with any text
/// around them. What is no complete object with four finite numbers is passed over. Time is linear in the length of the
/// text: an object longer than 2048 bytes is no detection.
inline std::vector<Detection> parse_detections(std::string_view text) {
    constexpr std::size_t longest = 2048;
    std::vector<Detection> detections;
    for (std::size_t start = text.find('{'); start != std::string_view::npos; start = text.find('{', start)) {
        const std::string_view rest = text.substr(start, longest);
        std::size_t end = 1;
        for (bool quoted = false; end < rest.size(); ++end) {
            const char c = rest[end];
            if (quoted && c == '\\')
                ++end;
            else if (c == '"')
                quoted = !quoted;
            else if (quoted ? c == '\n' : c == '{' || c == '}')
                break;
        }
        const bool closed = end < rest.size() && rest[end] == '}';
        if (closed) {
            if (auto detection = detail::detection_of(rest.substr(0, end + 1)))
                detections.push_back(std::move(*detection));
        }
        start += closed ? end + 1 : 1;
    }
    return detections;
}

}  // namespace qwen3vl::image
