#pragma once
#include <qwen3vl/chat/chat.hpp>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

/// Questions about pictures and clips with their answers, in the layout of make_eval.py (beside the shipped model):
/// FOLDER/cases.json and FOLDER/images.
namespace shapes {
namespace q = qwen3vl;

struct Case {
    std::string kind, question, answer, reference;
    std::vector<std::string> images, frames;
    double fps = 1;
};

/// Throws FileError, ConfigError.
inline std::vector<Case> read_cases(const std::string& folder) {
    const std::string path = folder + "/cases.json";
    try {
        std::vector<Case> cases;
        const auto json = nlohmann::json::parse(q::read_file(path));
        for (const auto& c : json.at("cases"))
            cases.push_back({c.at("kind"), c.at("question"), c.at("answer"), c.at("reference"),
                             c.value("images", std::vector<std::string>{}),
                             c.value("frames", std::vector<std::string>{}), c.value("fps", 1.0)});
        if (cases.empty()) throw q::ConfigError(path, "cases", "at least one case", "none");
        return cases;
    } catch (const nlohmann::json::exception& e) {
        throw q::ConfigError(path + ": " + e.what());
    }
}

/// What is said to the model.
inline std::vector<q::Input> content_of(const Case& c, const std::string& folder) {
    std::vector<q::Input> content;
    for (const auto& image : c.images) content.emplace_back(q::Image::open(folder + "/images/" + image));
    if (!c.frames.empty()) {
        auto paths = c.frames;
        for (auto& p : paths) p = folder + "/images/" + p;
        content.emplace_back(q::Video::from_files(paths, c.fps));
    }
    content.emplace_back(c.question);
    return content;
}

}  // namespace shapes
