#include <qwen3vl/qwen3vl.hpp>

#include <iostream>

namespace q = qwen3vl;

int main(int, char** argv) {
    const auto model = q::Model<q::models::Shapes>::load(argv[1]);
    std::cout << q::generate_multimodal_response(model, argv[2], "Describe the picture.") << "\n";
}
