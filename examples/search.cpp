// The picture of several that fits some words best, by embeddings.
//     search CHECKPOINT_DIR WORDS IMAGE...
#include <qwen3vl/qwen3vl.hpp>
#include <qwen3vl/retrieval/embedder.hpp>

#include <cstdio>
#include <numeric>

namespace q = qwen3vl;

int main(int argc, char** argv) try {
    if (argc < 4) {
        std::fprintf(stderr, "usage: search CHECKPOINT_DIR WORDS IMAGE...\n");
        return 2;
    }
    const auto model = q::Model<q::models::Shapes>::load(argv[1]);
    q::Embedder embedder(model);
    const auto words = embedder.embed({{argv[2]}, "Retrieve images relevant to the user's query."});
    std::vector<q::EmbedInput> pictures;
    for (int i = 3; i < argc; ++i) pictures.push_back({{q::Image::open(argv[i])}});
    const auto vectors = embedder.embed(pictures);
    for (std::size_t i = 0; i < vectors.size(); ++i)
        std::printf("%.4f %s\n", std::inner_product(words.begin(), words.end(), vectors[i].begin(), 0.0), argv[i + 3]);
} catch (const q::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
