// Loads a fusion policy with trained parameters: gated cross-attention to pictures outside of the sequence, where a
// picture costs the decoder one token.
//     pictures_outside CHECKPOINT_DIR PARAMETERS PICTURE [QUESTION]
// For the small model, examples/models/shapes, PARAMETERS are its fusion/cross_outside.safetensors.
#include <qwen3vl/qwen3vl.hpp>

#include <iostream>

namespace q = qwen3vl;

// The modules stand before the layers that they were trained for (examples/models/shapes/train_fusion.py).
constexpr q::fusion::CrossLayers odd{.every = 2, .first = 1};
using Fusion = q::fusion::CrossAttention<q::fusion::pictures::Outside<>, odd>;
using Model = q::Model<q::models::Shapes, q::Policies<>::with_fusion<Fusion>>;

int main(int argc, char** argv) try {
    if (argc < 4 || argc > 5) {
        std::cerr << "usage: pictures_outside CHECKPOINT_DIR PARAMETERS PICTURE [QUESTION]\n";
        return 2;
    }
    const auto model = Model::load(argv[1], {.parameters = {argv[2]}});
    q::Chat chat(model, {.max_new_tokens = 128});
    const auto reply = chat.ask({q::Image::open(argv[3]), argc == 5 ? argv[4] : "Describe the picture."});
    std::cout << reply.text << "\n" << reply.prompt_tokens << " tokens in the prompt\n";
} catch (const q::Error& e) {
    std::cerr << e.what() << "\n";
    return 2;
}
