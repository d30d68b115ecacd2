// A clip from a folder of frames.
//     frames CHECKPOINT_DIR FRAMES_DIR FRAMES_A_SECOND [QUESTION]
#include <qwen3vl/qwen3vl.hpp>

#include <cstdio>
#include <cstdlib>

namespace q = qwen3vl;

int main(int argc, char** argv) try {
    if (argc < 4 || argc > 5) {
        std::fprintf(stderr, "usage: frames CHECKPOINT_DIR FRAMES_DIR FRAMES_A_SECOND [QUESTION]\n");
        return 2;
    }
    const auto model = q::Model<q::models::Shapes>::load(argv[1]);
    q::Chat chat(model);
    const auto clip = q::Video::open_folder(argv[2], std::atof(argv[3]));
    std::printf("%s\n", chat.ask({clip, argc == 5 ? argv[4] : "What happens in the video?"}).text.c_str());
} catch (const q::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
