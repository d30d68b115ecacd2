// An attention policy of your own, outside the library: scores from the squared distance of query and key instead of
// their product.
//     own_attention CHECKPOINT_DIR PICTURE
// The model was not trained with it, so its answer is not sensible; that it runs in every layer, with any cache and
// mask, is the point.
#include <qwen3vl/qwen3vl.hpp>

#include <cmath>
#include <cstdio>

namespace q = qwen3vl;

/// softmax(-|query - key|^2 / 2) over the keys that Mask shows. What a policy must have: a name, its mask, the floats
/// of scratch it needs for a block of queries, and attend(). It meets the cache through tiles only, and asks the mask
/// which keys a query sees.
template <class Mask = q::mask::Causal>
struct Distance {
    static constexpr const char* name = "Distance";
    using mask = Mask;
    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t /*channels*/, std::int64_t /*keys*/) {
        return rows;
    }

    /// out [rows, channels] for the block's queries; tiles(i) gives keys and values 64 i, 64 i + 1, ... of the head.
    template <class Arch, class Tiles>
    static void attend(const q::attention::QueryBlock& block, const Mask& visible, const Tiles& tiles, float* out,
                       float* total) {
        std::fill_n(out, block.rows * block.channels, 0.0f);
        std::fill_n(total, block.rows, 0.0f);
        q::attention::for_each_tile(block, visible, tiles, [&](const auto& tile) {
            for (std::int64_t r = 0; r < block.rows; ++r)
                for (std::int64_t k = 0; k < tile.count; ++k) {
                    if (!visible.visible(block.position(r), tile.first + k)) continue;
                    const float* query = block.queries + r * block.channels;
                    float distance = 0;
                    for (std::int64_t c = 0; c < block.channels; ++c) {
                        const float d = query[c] - tile.key(k, c);
                        distance += d * d;
                    }
                    const float weight = std::exp(-0.5f * distance / static_cast<float>(block.channels));
                    total[r] += weight;
                    for (std::int64_t c = 0; c < block.channels; ++c)
                        out[r * block.channels + c] += weight * tile.value(k, c);
                }
        });
        for (std::int64_t r = 0; r < block.rows; ++r)
            q::kernels::scale_row<Arch>(1.0f / total[r], block.channels, out + r * block.channels);
    }
};

struct WithDistance : q::TextPolicies<>::with_attention<Distance<>> {};

int main(int argc, char** argv) try {
    if (argc != 3) {
        std::fprintf(stderr, "usage: own_attention CHECKPOINT_DIR PICTURE\n");
        return 2;
    }
    const auto model = q::Model<q::models::Shapes, q::Policies<>::with_text<WithDistance>>::load(argv[1]);
    std::printf(
        "%s\n",
        q::generate_multimodal_response(model, argv[2], "Describe the picture.", {.max_new_tokens = 24}).c_str());
} catch (const q::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
