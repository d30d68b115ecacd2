// Masks: finding the tiles of a chunk's blocks, and hiding keys in the tile on the diagonal.
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/mask/mask.hpp>
#include "conversation.hpp"
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

/// All blocks of a 512-token chunk that ends at `keys`; an item is a tile.
template <class Mask>
void add_tiles(std::int64_t keys) {
    bench::add("mask/" + std::string(Mask::name) + "/tiles/keys:" + std::to_string(keys), [=](benchmark::State& state) {
        constexpr std::int64_t group = bench::Full::text.group(), tokens = 256;
        bench::Conversation types(keys);
        const auto mask = q::testing::mask_over<Mask>(types.types());
        std::int64_t found = 0;
        const auto count_tiles = [&] {
            found = 0;
            for (std::int64_t t = 0; t < tokens; t += q::attention::block_tokens(group)) {
                const std::int64_t n = std::min(q::attention::block_tokens(group), tokens - t);
                const q::attention::QueryBlock block{nullptr, n * group, 0, group, keys - tokens + t, keys};
                q::attention::for_each_tile(
                    block, mask, [](std::int64_t index) { return index; },
                    [&](std::int64_t index) {
                        benchmark::DoNotOptimize(index);
                        ++found;
                    });
            }
        };
        count_tiles();
        // no arithmetic and no memory to speak of: the limit is one index a tile out of the first-level cache
        const auto bytes = static_cast<double>(found) * sizeof(std::int64_t);
        bench::measure(state, 1, {.bytes = bytes, .footprint = 16384}, found, count_tiles);
    });
}

template <class Mask>
void add_hide() {
    bench::add("mask/" + std::string(Mask::name) + "/hide/diagonal", [](benchmark::State& state) {
        constexpr std::int64_t rows = q::attention::block_rows, keys = q::kv_cache::tile_keys, blocks = 16;
        bench::Conversation types(1024 + rows);
        const auto mask = q::testing::mask_over<Mask>(types.types());
        auto scores = bench::random_floats(rows * keys);
        const q::attention::QueryBlock block{
            nullptr, rows, 0, bench::Full::text.group(), 1024, 1024 + rows / bench::Full::text.group()};
        bench::measure(
            state, 1,
            {.bytes = static_cast<double>(blocks * rows * keys * 4), .footprint = rows * keys * 4, .writes = true},
            blocks * rows * keys, [&] {
                for (std::int64_t i = 0; i < blocks; ++i) {
                    q::attention::hide(block, mask, 1024 - keys / 2, keys, scores.data(), keys);
                    benchmark::ClobberMemory();
                }
            });
    });
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<q::concat_t<q::mask::all, q::mask::typed>>([]<class T>(T) {
        add_tiles<typename T::type>(512);
        add_tiles<typename T::type>(4096);
        if constexpr (T::type::causal) add_hide<typename T::type>();  // the others hide nothing on the diagonal
    });
    return bench::run(argc, argv);
}
