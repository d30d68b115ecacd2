// Swaps slots: the same question to three models that differ in one policy each. Nothing is chosen at run time; each
// model is a type of its own, and a combination that cannot work does not compile and says why.
//     swap_a_slot CHECKPOINT_DIR PICTURE
#include <qwen3vl/qwen3vl.hpp>

#include <cstdio>

namespace q = qwen3vl;

// A bundle is a list of choices over the defaults; a name of its own makes diagnostics say it.
struct DenseAttention : q::TextPolicies<>::with_attention<q::attention::Dense<>> {};

// The last 256 tokens and 4 sinks, in a ring that does not grow: an impossible pair (a ring shorter than the window)
// would not compile.
struct Windowed : q::TextPolicies<>::with_attention<
                      q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 256, .sinks = 4}>>>  //
                  ::with_kv_cache<q::kv_cache::Ring<q::Tokens{512}, q::kv_cache::Float32>> {};

// A plan by layers: two windowed layers, then one that sees everything.
using Local = q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 256}>>;
struct Mixed : q::TextPolicies<>::with_attention<q::Layers<q::Pattern<Local, Local, q::attention::Flash<>>>> {};

template <class Text>
void ask(const char* name, const char* folder, const q::Image& picture) {
    const auto model = q::Model<q::models::Shapes, q::Policies<>::with_text<Text>>::load(folder);
    std::printf("%-10s %s\n", name, q::process_multimodal_request(model, "Describe the picture.", picture).c_str());
}

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::fprintf(stderr, "usage: swap_a_slot CHECKPOINT_DIR PICTURE\n");
        return 2;
    }
    const auto picture = q::Image::open(argv[2]);
    ask<DenseAttention>("dense", argv[1], picture);
    ask<Windowed>("windowed", argv[1], picture);
    ask<Mixed>("mixed", argv[1], picture);
} catch (const q::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
