#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>

#include <cstdio>

namespace q = qwen3vl;

// The core asks for nothing but weights by name and shape.
struct Zeros {
    std::vector<float> values = std::vector<float>(1 << 20);
    q::TensorView take(const std::string&, const q::Shape& shape) {
        return {q::DType::f32, shape, reinterpret_cast<const std::byte*>(values.data()), "zeros"};
    }
};

int main() {
    Zeros zeros;
    const q::Model<q::models::Plain> model(zeros, nullptr, nullptr, {});
    q::Session session(model, {.context = 16});
    session.append({.tokens = {1, 2, 3}});
    std::printf("%zu logits\n", session.logits().size());
}
