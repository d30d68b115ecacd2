// Caches over their codecs: writing a chunk's keys and values of all heads, and reading every tile of them as float32.
#include <qwen3vl/memory/arena.hpp>
#include "cache_layer.hpp"
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

template <class Cache>
struct Filled {
    static constexpr std::int64_t heads = bench::Full::text.kv_heads;
    q::kv_cache::Extent extent{heads, q::kv_cache::padded_channels(bench::Full::text.head_dim), Cache::capacity > 0 ? Cache::capacity : 4096, 64, 4};
    q::memory::Arena memory{Cache::bytes(extent)};
    typename Cache::Layer layer = bench::cache_layer<Cache>(memory.take(Cache::bytes(extent)), extent);
    std::vector<float> rows = bench::random_floats(2 * extent.channels);

    void write() {
        for (std::int64_t t = 0; t < extent.tokens; ++t)
            for (std::int64_t h = 0; h < heads; ++h) layer.template write<bench::Arch>(h, t, rows.data(), rows.data() + extent.channels);
    }
};

template <class Cache>
void add_cache() {
    const std::string name = "kv_cache/" + std::string(Cache::name) + "/" + Cache::codec::name;
    bench::add(name + "/write", [](benchmark::State& state) {
        Filled<Cache> cache;
        const std::int64_t bytes = Cache::bytes(cache.extent);
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, cache.extent.tokens, [&] {
            cache.write();
            benchmark::ClobberMemory();
        });
    });
    bench::add(name + "/read", [](benchmark::State& state) {
        Filled<Cache> cache;
        cache.write();
        const std::int64_t bytes = Cache::bytes(cache.extent), tokens = cache.extent.tokens;
        const auto wide = q::aligned_floats(static_cast<std::size_t>(2 * q::kv_cache::tile_keys * cache.extent.channels));
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes}, tokens, [&] {
            for (std::int64_t h = 0; h < cache.heads; ++h)
                for (std::int64_t index = 0; index * q::kv_cache::tile_keys < tokens; ++index) {
                    const auto tile = q::kv_cache::widened<bench::Arch>(cache.layer.tile(h, index, tokens), wide.get());
                    bench::sink = tile.keys[0] + tile.values[0];
                    benchmark::ClobberMemory();
                }
        });
    });
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<q::concat_t<q::kv_cache::all, q::kv_cache::with_tables>>([]<class T>(T) { add_cache<typename T::type>(); });
    return bench::run(argc, argv);
}
