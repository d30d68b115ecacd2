// qwen3vl describe: one answer about pictures or a clip.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "any_chat.hpp"
#include "commands.hpp"
#include "model_options.hpp"
#include "terminal.hpp"

namespace commands::describe {
namespace q = qwen3vl;

struct Options {
    std::vector<std::string> words;
    std::string frames;
    double fps = 1;
    ModelOptions model;
};

/// The positional arguments: files that exist are pictures, one other is the question.
std::vector<q::Input> content_of(const Options& o) {
    std::vector<q::Input> content;
    std::string question;
    for (const auto& word : o.words) {
        std::error_code error;
        if (std::filesystem::is_regular_file(word, error)) {
            content.emplace_back(q::Image::open(word));
        } else if (question.empty() && std::filesystem::path(word).extension().empty()) {
            question = word;
        } else if (question.empty() && word.find(' ') != std::string::npos) {
            question = word;
        } else {
            throw q::FileError(word + ": no such picture" +
                               (question.empty() ? "" : " (the question is \"" + question + "\"; put it in quotes)"));
        }
    }
    if (!o.frames.empty()) content.emplace_back(q::Video::open_folder(o.frames, o.fps));
    if (content.empty())
        throw q::PromptError("nothing to describe: name a picture, or a folder of frames with --frames");
    content.emplace_back(!question.empty()  ? question
                         : o.frames.empty() ? "Describe the picture."
                                            : "What happens in the video?");
    return content;
}

int run(const Options& o) {
    const auto content = content_of(o);
    ProgressBar bar;
    const std::string path = o.model.checkpoint();
    const auto& model = model_for(path, o.model.mmproj, o.model.bundle);
    const auto chat = model.open(path, o.model.chat_options(bar), o.model.load_options(bar));
    const auto reply = chat->ask(content, [&](std::string_view text) {
        if (!o.model.json) std::printf("%s", std::string(text).c_str());
        std::fflush(stdout);
        return !interrupted.load();
    });
    if (o.model.json)
        std::printf("%s\n", reply_json(reply, model.name).dump(2).c_str());
    else
        std::printf("\n");
    return reply.reason == q::StopReason::cancelled ? 130 : 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand("describe", "Answers a question about pictures or a clip");
    sub->footer(
        "Examples:\n"
        "  qwen3vl describe street.jpg --model DIR\n"
        "  qwen3vl describe before.png after.png \"What has changed?\" --model DIR\n"
        "  qwen3vl describe --frames clip/ --fps 2 \"What happens?\" --model DIR --json");
    sub->add_option(
        "IMAGE_OR_PROMPT", options->words,
        "pictures (JPEG, PNG, WebP) in their order, and the question; without one: \"Describe the picture.\"");
    sub->add_option("--frames", options->frames,
                    "a folder of frames, in the order of their names, instead of or beside pictures")
        ->check(CLI::ExistingDirectory);
    sub->add_option("--fps", options->fps, "frames a second of that folder")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    options->model.add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("describe", [&] { return run(*options); }); });
}

}  // namespace commands::describe
