// Several pictures in one question, then a second question about the same pictures: they are not encoded again, and the
// part of the prompt that has not changed is not computed again.
//     many_pictures CHECKPOINT_DIR FIRST SECOND
#include <qwen3vl/qwen3vl.hpp>

#include <cstdio>

namespace q = qwen3vl;

int main(int argc, char** argv) try {
    if (argc != 4) {
        std::fprintf(stderr, "usage: many_pictures CHECKPOINT_DIR FIRST SECOND\n");
        return 2;
    }
    const auto model = q::Model<q::models::Shapes>::load(argv[1]);
    q::Chat chat(model);
    const auto first = q::Image::open(argv[2]), second = q::Image::open(argv[3]);
    std::printf("the question will take %ld tokens\n",
                static_cast<long>(chat.token_count({first, second, "Which picture has more objects?"})));
    const auto show = [](const q::Reply& r) {
        std::printf("%s\n  (%ld prompt tokens, %ld of them computed before; pictures %.0f ms, prefill %.0f ms)\n",
                    r.text.c_str(), static_cast<long>(r.prompt_tokens), static_cast<long>(r.reused_tokens),
                    1e3 * r.encode_seconds, 1e3 * r.prefill_seconds);
    };
    show(chat.ask({first, second, "Which picture has more objects?"}));
    chat.clear();
    show(chat.ask({first, second, "Which picture shows a red star?"}));
} catch (const q::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
