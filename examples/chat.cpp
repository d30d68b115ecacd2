// A conversation: the session keeps what was said, so each turn computes only what is new. An empty line ends it.
//     chat CHECKPOINT_DIR [PICTURE]
#include <qwen3vl/qwen3vl.hpp>

#include <iostream>

namespace q = qwen3vl;

int main(int argc, char** argv) try {
    if (argc < 2 || argc > 3) {
        std::cerr << "usage: chat CHECKPOINT_DIR [PICTURE]\n";
        return 2;
    }
    const auto model = q::Model<q::models::Shapes>::load(argv[1]);
    q::Chat chat(model, {.max_new_tokens = 128, .session = {.context = 2048}});
    std::vector<q::Input> content;
    if (argc == 3) content.emplace_back(q::Image::open(argv[2]));
    for (std::string line; std::cout << "> " << std::flush && std::getline(std::cin, line) && !line.empty();) {
        content.emplace_back(line);
        const auto print = [](std::string_view text) { return static_cast<bool>(std::cout << text << std::flush); };
        const auto reply = chat.ask(std::exchange(content, {}), print);
        std::cout << "\n  (" << reply.reused_tokens << " of " << reply.prompt_tokens
                  << " prompt tokens were there already)\n";
    }
} catch (const q::Error& e) {
    std::cerr << e.what() << "\n";
    return 2;
}
