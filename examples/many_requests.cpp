// Many requests at once: an engine answers them together, each with the bits that it would have alone.
//     many_requests CHECKPOINT_DIR PICTURE...
#include <qwen3vl/engine/engine.hpp>
#include <qwen3vl/qwen3vl.hpp>

#include <cstdio>

namespace q = qwen3vl;

// keys and values lie in pages that all requests share
using Text = q::TextPolicies<>::with_kv_cache<q::kv_cache::Paged<>>;
using Model = q::Model<q::models::Shapes, q::Policies<>::with_text<Text>>;

int main(int argc, char** argv) try {
    if (argc < 3) {
        std::fprintf(stderr, "usage: many_requests CHECKPOINT_DIR PICTURE...\n");
        return 2;
    }
    const auto model = Model::load(argv[1]);
    q::PagePool pool(model, {.tokens = 16384});
    q::Engine engine(pool, {.context = 1024});
    std::vector<q::EngineAnswer> answers;
    for (int i = 2; i < argc; ++i) {
        q::EngineRequest request;
        request.conversation.messages = {{q::chat::Role::user, {q::chat::ImagePart{}, "Describe the picture."}}};
        request.media.emplace_back(q::Image::open(argv[i]));
        request.generation.max_new_tokens = 64;
        answers.push_back(engine.submit(std::move(request)));
    }
    for (int i = 2; i < argc; ++i) {
        const auto reply = answers[static_cast<std::size_t>(i - 2)].get();
        std::printf("%s: %s\n  (first token after %.0f ms, %.0f ms between tokens at most)\n", argv[i],
                    reply.text.c_str(), 1e3 * reply.first_seconds, 1e3 * reply.longest_gap);
    }
} catch (const q::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
