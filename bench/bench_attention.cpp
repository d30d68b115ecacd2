// Attention algorithms over masks and codecs: a decode step, a 512-token chunk of prefill, and a picture in the tower.
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/mask/over_grid.hpp>
#include <qwen3vl/memory/arena.hpp>
#include "conversation.hpp"
#include "slot_bench.hpp"
#include "visible_pairs.hpp"

namespace {
namespace q = qwen3vl;
using Team = q::execution::Threads<>::Team;

/// Queries and results of so many tokens, and scratch.
template <class Attention>
struct Work {
    Team team;
    std::vector<float> queries, out;
    q::AlignedFloats scratch;
    q::attention::Heads heads;

    Work(int threads, std::int64_t tokens, std::int64_t kv_heads, std::int64_t group, std::int64_t channels,
         std::int64_t first, std::int64_t keys)
        : team(threads),
          queries(bench::random_floats(tokens * kv_heads * group * channels)),
          out(queries.size()),
          scratch(q::aligned_floats(static_cast<std::size_t>(
              q::attention::scratch_floats<Attention>(threads, kv_heads, group, channels, keys)))),
          heads{queries.data(), tokens, kv_heads, group,      channels,
                channels,       first,  keys,     out.data(), kv_heads * group * channels} {
        for (auto& x : queries) x *= 0.09f;  // 1 / sqrt(head_dim)
    }

    /// `key_bytes`: of one key and its value in one head.
    template <class Tile>
    void measure(benchmark::State& state, const Tile& tile, double key_bytes, const typename Attention::mask& mask) {
        const double pairs = bench::visible_pairs(mask, heads.first, heads.tokens, heads.keys),
                     rows = static_cast<double>(heads.kv_heads * heads.group);
        double keys = 0;  // that some query sees
        mask.for_each_range(heads.first, heads.first + heads.tokens - 1, {0, heads.keys},
                            [&](q::mask::KeyRange range) { keys += static_cast<double>(range.end - range.begin); });
        const double bytes = keys * static_cast<double>(heads.kv_heads) * key_bytes;
        state.counters["keys_seen"] = pairs / static_cast<double>(heads.tokens * heads.keys);
        bench::measure(state, team.threads(),
                       {.operations = 4 * pairs * rows * static_cast<double>(heads.channels),
                        .bytes = bytes,
                        .footprint = static_cast<std::int64_t>(bytes)},
                       heads.tokens, [&] {
                           q::attention::attend<bench::Arch, Attention>(team, heads, tile, scratch.get(), mask);
                           benchmark::ClobberMemory();
                       });
    }
};

template <class Attention>
std::string row_name(const char* mode) {
    return "attention/" + std::string(Attention::name) + "/" + Attention::mask::name + "/" + mode;
}

template <class Attention, class Codec>
void add_text(const char* mode, std::int64_t tokens, std::int64_t keys, int threads) {
    bench::add(row_name<Attention>(mode) + "/" + Codec::name + "/keys:" + std::to_string(keys) +
                   "/threads:" + std::to_string(threads),
               [=](benchmark::State& state) {
                   using Cache = q::kv_cache::Contiguous<Codec>;
                   constexpr auto d = bench::Full::text;
                   const q::kv_cache::Extent extent{d.kv_heads, q::kv_cache::padded_channels(d.head_dim), keys,
                                                    Attention::mask::span, Attention::mask::sinks};
                   q::memory::Arena memory(Cache::bytes(extent));
                   typename Cache::Layer cache(memory.take(Cache::bytes(extent)), extent);
                   const auto rows = bench::random_floats(keys + 2 * extent.channels, 2);
                   for (std::int64_t t = 0; t < keys; ++t)
                       for (std::int64_t h = 0; h < d.kv_heads; ++h)
                           cache.template write<bench::Arch>(h, t, rows.data() + t, rows.data() + t + extent.channels);
                   bench::Conversation types(keys);
                   Work<Attention> work(threads, tokens, d.kv_heads, d.group(), extent.channels, keys - tokens, keys);
                   work.measure(
                       state, [&](std::int64_t head, std::int64_t index) { return cache.tile(head, index, keys); },
                       static_cast<double>(Cache::bytes({1, extent.channels, q::kv_cache::tile_keys, 0, 0})) /
                           q::kv_cache::tile_keys,
                       q::testing::mask_over<typename Attention::mask>(types.types()));
               });
}

/// A square picture of side x side patches.
template <class Attention>
void add_vision(int side, int threads) {
    const std::int64_t patches = std::int64_t{side} * side;
    bench::add(
        row_name<Attention>("vision") + "/keys:" + std::to_string(patches) + "/threads:" + std::to_string(threads),
        [=](benchmark::State& state) {
            constexpr auto d = bench::Full::vision;
            const std::int64_t channels = q::kv_cache::padded_channels(d.head_dim());
            const auto keys = bench::random_floats(d.heads * patches * channels, 2),
                       values = bench::random_floats(d.heads * patches * channels, 3);
            Work<Attention> work(threads, patches, d.heads, 1, channels, 0, patches);
            const auto tile = [&](std::int64_t head, std::int64_t index) {
                const std::int64_t key = index * q::kv_cache::tile_keys, at = (head * patches + key) * channels;
                return q::kv_cache::Tile<float>{keys.data() + at, values.data() + at, channels, key,
                                                q::kv_cache::tile_keys};
            };
            work.measure(state, tile, static_cast<double>(2 * channels) * sizeof(float),
                         q::mask::over_grid<typename Attention::mask>({1, side, side}, d.merge));
        });
}

template <class Attention>
void add_all() {
    for (const int threads : bench::thread_counts()) {
        if constexpr (Attention::mask::causal) {
            q::for_each_type<q::kv_cache::codecs>([&]<class C>(C) {
                for (const int keys : {256, 1024, 4096, 16384})
                    add_text<Attention, typename C::type>("decode", 1, keys, threads);
                for (const int keys : {512, 4096}) add_text<Attention, typename C::type>("prefill", 512, keys, threads);
            });
        } else {
            for (const int side : {16, 32, 64}) add_vision<Attention>(side, threads);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<q::concat_t<q::concat_t<q::mask::all, q::mask::typed>, q::mask::of_grids>>([]<class M>(M) {
        q::for_each_type<q::attention::all<typename M::type>>([]<class A>(A) { add_all<typename A::type>(); });
    });
    return bench::run(argc, argv);
}
