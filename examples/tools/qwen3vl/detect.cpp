// qwen3vl detect: asks for boxes and draws them on the picture.
#include <qwen3vl/image/grounding.hpp>

#include <array>
#include <cstdio>
#include <memory>

#include "any_chat.hpp"
#include "commands.hpp"
#include "model_options.hpp"
#include "terminal.hpp"

namespace commands::detect {
namespace q = qwen3vl;

struct Options {
    std::string image, what, out, prompt;
    ModelOptions model;
};

/// The question with {} replaced by what is looked for.
std::string question(const Options& o, const std::string& model) {
    // the small model knows the wording it was trained with; the released ones are asked as their cookbook does
    std::string text = !o.prompt.empty()   ? o.prompt
                       : model == "Shapes" ? "Locate {}."
                                           : "Locate {}, report the bounding boxes in JSON format like this: "
                                             "{\"bbox_2d\": [x1, y1, x2, y2], \"label\": \"name\"}";
    const auto at = text.find("{}");
    if (at == std::string::npos)
        throw q::PromptError("--prompt: expected {} where the object's name belongs, found \"" + text + "\"");
    return text.replace(at, 2, o.what);
}

int run(const Options& o) {
    auto picture = q::Image::open(o.image);
    ProgressBar bar;
    const std::string path = o.model.checkpoint();
    const auto& model = model_for(path, o.model.mmproj, o.model.bundle);
    auto options = o.model.chat_options(bar);
    if (!options.temperature) options.temperature = 0;  // a box is not the place for chance
    const auto chat = model.open(path, options, o.model.load_options(bar));
    const auto reply = chat->ask({picture, question(o, model.name)}, {});
    const auto detections = q::image::parse_detections(reply.text);
    constexpr std::array<q::Colour, 4> colours{{{255, 0, 80}, {0, 160, 255}, {0, 200, 80}, {255, 160, 0}}};
    auto boxes = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < detections.size(); ++i) {
        const auto b = q::image::to_pixels(detections[i].box, picture.width(), picture.height());
        q::draw_box(picture, b.x1, b.y1, b.x2, b.y2, colours[i % colours.size()]);
        boxes.push_back({{"label", detections[i].label}, {"pixels", {b.x1, b.y1, b.x2, b.y2}}});
        if (!o.model.json)
            std::printf("%s: %d %d %d %d\n", detections[i].label.empty() ? o.what.c_str() : detections[i].label.c_str(),
                        b.x1, b.y1, b.x2, b.y2);
    }
    if (!o.out.empty()) picture.write_png(o.out);
    if (o.model.json) {
        auto out = reply_json(reply, model.name);
        out["boxes"] = boxes;
        std::printf("%s\n", out.dump(2).c_str());
    } else if (detections.empty()) {
        std::fprintf(stderr, "qwen3vl detect: no box in the answer: %s\n", reply.text.c_str());
    }
    return detections.empty() ? 1 : 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand("detect", "Finds an object and draws its box; prints label and pixels x1 y1 x2 y2");
    sub->footer(
        "Example:\n  qwen3vl detect examples/pictures/shapes.png \"the blue star\" -o boxes.png --model "
        "examples/models/shapes");
    sub->add_option("IMAGE", options->image, "a JPEG, PNG or WebP file")->required()->check(CLI::ExistingFile);
    sub->add_option("OBJECT", options->what, "what to look for, as it stands after \"Locate\"")->required();
    sub->add_option("-o,--output", options->out, "PNG file for the picture with the boxes");
    sub->add_option("--prompt", options->prompt, "another question; {} stands for OBJECT");
    options->model.add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("detect", [&] { return run(*options); }); });
}

}  // namespace commands::detect
