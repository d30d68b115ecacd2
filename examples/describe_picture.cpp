// Describes a picture: the shortest program there is.
//     describe_picture CHECKPOINT_DIR PICTURE
// The Dims is chosen at compile time: -DMODEL=Qwen3VL_2B, or Shapes for the model in examples/models/shapes.
#include <qwen3vl/qwen3vl.hpp>

#include <iostream>

#ifndef MODEL
#define MODEL Shapes
#endif

namespace q = qwen3vl;

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::cerr << "usage: describe_picture CHECKPOINT_DIR PICTURE\n";
        return 2;
    }
    const auto model = q::Model<q::models::MODEL>::load(argv[1]);
    q::Chat chat(model, {.max_new_tokens = 128});
    chat.ask({q::Image::open(argv[2]), "Describe the picture."},
             [](std::string_view text) { std::cout << text << std::flush; });
    std::cout << "\n";
} catch (const q::Error& e) {
    std::cerr << e.what() << "\n";
    return 2;
}
