// An answer that is JSON by a schema, whatever the model would rather say.
//     structured_answer CHECKPOINT_DIR PICTURE
#include <qwen3vl/qwen3vl.hpp>

#include <iostream>

namespace q = qwen3vl;

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: structured_answer CHECKPOINT_DIR PICTURE\n";
        return 2;
    }
    const auto model = q::Model<q::models::Shapes>::load(argv[1]);
    q::Chat chat(model, {.answer = q::constrain::json_schema(R"({
        "type": "object",
        "properties": {
            "color": {"enum": ["red", "green", "blue", "yellow", "orange", "purple", "black"]},
            "shape": {"enum": ["circle", "square", "triangle", "star", "heart"]},
            "objects": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["color", "shape", "objects"], "additionalProperties": false})")});
    std::cout << chat.ask({q::Image::open(argv[2]), "What color is the left shape?"}).text << "\n";
} catch (const q::Error& e) {
    std::cerr << e.what() << "\n";
    return 2;
}
