// Caches over their codecs: writing a chunk's keys and values of all heads, and reading every tile of them as float32.
// Attention of one token over a cache with three quarters of its tokens on disk, beside the same in memory, and of the
// disk's limit, and over one in pages of a pool.
#include <filesystem>
#include <optional>
#include "attention_layer.hpp"
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

template <class Cache>
struct Filled {
    static constexpr std::int64_t heads = bench::Full::text.kv_heads;
    q::kv_cache::Extent extent{heads, q::kv_cache::padded_channels(bench::Full::text.head_dim),
                               Cache::capacity > 0 ? Cache::capacity : 4096, 64, 4};
    q::memory::Arena memory{Cache::bytes(extent)};
    q::testing::AlternatingTypes types{extent.tokens, 200, 100};  // most tiles hold text and pictures
    q::testing::StandaloneLayer<Cache> layer = q::testing::standalone_layer<Cache>(
        memory.take(Cache::bytes(extent)), extent, 16 * q::kv_cache::tile_keys, {}, types.types());
    std::vector<float> rows = bench::random_floats(2 * extent.channels);

    void write() {
        for (std::int64_t t = 0; t < extent.tokens; ++t) {
            q::kv_cache::reserve_tokens(layer, t, 1);
            for (std::int64_t h = 0; h < heads; ++h)
                layer.template write<bench::Arch>(h, t, rows.data(), rows.data() + extent.channels);
        }
    }
    /// f(kv_head, index) where the tiles are at hand.
    template <class F>
    void for_each_tile(F&& f) {
        const auto tiles = q::kv_cache::later_tiles_of(layer, extent.tokens);
        const std::int64_t all = q::ceil_div(extent.tokens, q::kv_cache::tile_keys);
        std::int64_t away = 0;
        if constexpr (q::kv_cache::StagedTiles<decltype(tiles)>) {
            away = tiles.away();
            for (std::int64_t first = 0, last = 0; first < away; first = last) {
                last = std::min(away, first + tiles.most_tiles());
                tiles.bring(first, last);
                for (std::int64_t i = first; i < last; ++i)
                    for (std::int64_t h = 0; h < heads; ++h) f(tiles(h, i));
            }
        }
        for (std::int64_t h = 0; h < heads; ++h)
            for (std::int64_t i = away; i < all; ++i) f(tiles(h, i));
    }
};

/// f(tile as float32) of a tile of any kind.
template <class Tile, class F>
void with_widened(const Tile& stored, float* wide, F&& f) {
    if constexpr (requires { stored.index(); })
        stored.visit([&](const auto& one) { with_widened(one, wide, f); });
    else
        f(q::kv_cache::widened<bench::Arch>(stored, wide));
}

/// Of all tokens, wherever they lie.
template <class Cache>
std::int64_t stored_bytes(const q::kv_cache::Extent& e) {
    if constexpr (q::kv_cache::Offloads<Cache>)
        return Cache::bytes(e) + Cache::file_bytes(e);
    else
        return Cache::bytes(e);
}

template <class Cache>
void add_cache() {
    const std::string name = "kv_cache/" + std::string(Cache::name) + "/" + Cache::codec::name;
    bench::add(name + "/write", [](benchmark::State& state) {
        Filled<Cache> cache;
        const std::int64_t bytes = stored_bytes<Cache>(cache.extent);
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true},
                       cache.extent.tokens, [&] {
                           cache.write();
                           benchmark::ClobberMemory();
                       });
    });
    bench::add(name + "/read", [](benchmark::State& state) {
        Filled<Cache> cache;
        cache.write();
        const std::int64_t bytes = stored_bytes<Cache>(cache.extent), tokens = cache.extent.tokens;
        const auto wide =
            q::aligned_floats(static_cast<std::size_t>(2 * q::kv_cache::tile_keys * cache.extent.channels));
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes}, tokens, [&] {
            cache.for_each_tile([&](const auto& stored) {
                with_widened(stored, wide.get(), [](const auto& tile) {
                    bench::sink = tile.keys[0] + tile.values[0];
                    benchmark::ClobberMemory();
                });
            });
        });
    });
}

/// The seconds that a file of so many bytes takes to be read from end to end, 4 MiB at once and past the page cache:
/// the best of a few.
double disk_seconds(const q::ScratchFile& file, std::int64_t bytes) {
    const std::int64_t piece = std::int64_t{4} << 20;
    q::memory::Arena memory(piece);
    std::byte* at = memory.take(piece);
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
        const auto start = bench::Clock::now();
        for (std::int64_t from = 0; from < bytes; from += piece)
            file.read(from, {at, static_cast<std::size_t>(std::min(piece, bytes - from))});
        best = std::min(best, bench::seconds_since(start));
    }
    return best;
}

/// Some layers of the 2B with caches of so many tokens, and what they share.
template <class Cache>
class LayersOf {
  public:
    static constexpr std::int64_t count =
        4;  ///< more than frames hold, so that nothing is found there from the token before

    explicit LayersOf(std::int64_t tokens)
        : extent_{bench::text.kv_heads, bench::channels, tokens, 0, 0},
          memory_(count * q::memory::Arena::footprint(Cache::bytes(extent_)) + frames_bytes()) {
        if constexpr (q::kv_cache::Offloads<Cache>)
            store_.emplace(std::filesystem::temp_directory_path().string(), count * Cache::file_bytes(extent_),
                           memory_.take(frames_bytes()), frame_bytes());
        if constexpr (q::kv_cache::Pages<Cache>)  // a page holds all layers
            pages_.emplace(memory_.take(count * Cache::bytes(extent_)), count * Cache::page_bytes(extent_), tokens);
        const auto rows = bench::random_floats(tokens + 2 * bench::channels);
        for (std::int64_t i = 0; i < count; ++i) {
            std::byte* own = q::kv_cache::Pages<Cache> ? nullptr : memory_.take(Cache::bytes(extent_));
            if constexpr (q::kv_cache::Pages<Cache>)
                layers_.emplace_back(pages_->table(), i * Cache::page_bytes(extent_), extent_);
            else if constexpr (q::kv_cache::Offloads<Cache>)
                layers_.emplace_back(own, extent_,
                                     typename Cache::Place{&*store_, i * Cache::file_bytes(extent_),
                                                           (i + 1) % count * Cache::file_bytes(extent_)});
            else
                layers_.emplace_back(own, extent_);
            for (std::int64_t t = 0; t < tokens; ++t) {
                q::kv_cache::reserve_tokens(layers_.back(), t, 1);
                for (std::int64_t h = 0; h < extent_.kv_heads; ++h)
                    layers_.back().template write<bench::Arch>(h, t, rows.data() + t,
                                                               rows.data() + t + bench::channels);
            }
        }
    }
    const q::kv_cache::Extent& extent() const { return extent_; }
    /// Of the caches and frames.
    std::int64_t resident_bytes() const { return memory_.size(); }
    q::kv_cache::TileStore& store() { return *store_; }
    auto begin() { return layers_.begin(); }
    auto end() { return layers_.end(); }

  private:
    std::int64_t frame_bytes() const {
        if constexpr (q::kv_cache::Offloads<Cache>)
            return Cache::frame_bytes(extent_, q::attention::stage_keys<q::attention::Flash<>>);
        else
            return 0;
    }
    std::int64_t frames_bytes() const {
        return frame_bytes() > 0 ? q::kv_cache::TileStore::memory_bytes(frame_bytes()) : 0;
    }

    q::kv_cache::Extent extent_;
    q::memory::Arena memory_;
    std::optional<q::kv_cache::TileStore> store_;
    std::optional<q::testing::StandalonePages> pages_;
    std::vector<typename Cache::Layer> layers_;
};

/// One token's attention in layer after layer. On disk: beside the time in which the disk gives what lies there
/// ("share"), which is measured around it; "away MiB" are read for each token and layer, "resident MiB" are the caches
/// of the layers and their frames.
template <class Cache>
void add_attention(const std::string& label, std::int64_t tokens) {
    using Attention = q::attention::Flash<>;
    for (const int threads : bench::thread_counts())
        bench::add("kv_cache/" + label + "/" + Cache::codec::name + "/attend/keys:" + std::to_string(tokens) +
                       "/threads:" + std::to_string(threads),
                   [=](benchmark::State& state) {
                       constexpr auto d = bench::text;
                       constexpr double mib = 1 << 20;
                       q::execution::Threads<>::Team team(threads);
                       LayersOf<Cache> layers(tokens);
                       std::int64_t floats = q::attention::scratch_floats<Attention>(threads, d.kv_heads, d.group(),
                                                                                     bench::channels, tokens);
                       floats = std::max(floats, q::attention::staged_scratch_floats<Attention>(
                                                     threads, 1, d.kv_heads, d.group(), bench::channels, tokens));
                       const auto scratch = q::aligned_floats(static_cast<std::size_t>(floats));
                       const auto queries = bench::random_floats(d.heads * bench::channels, 2);
                       std::vector<float> out(queries.size());
                       std::int64_t steps = 0;
                       const auto step = [&] {
                           for (const auto& layer : layers)
                               q::attention::attend<bench::Arch, Attention>(
                                   team,
                                   {queries.data(), 1, d.kv_heads, d.group(), bench::channels, d.head_dim, tokens - 1,
                                    tokens, out.data(), d.heads * d.head_dim},
                                   q::kv_cache::tiles_of(layer, tokens), scratch.get());
                           ++steps;
                       };
                       const std::int64_t bytes = layers.count * stored_bytes<Cache>(layers.extent());
                       const bench::Part all{.bytes = static_cast<double>(bytes), .footprint = bytes};
                       if constexpr (q::kv_cache::Offloads<Cache>) {
                           const std::int64_t away = layers.count * Cache::file_bytes(layers.extent()),
                                              before = layers.store().bytes_read();
                           bench::measure_against(state, all, layers.count, step,
                                                  [&] { return disk_seconds(layers.store().file(), away); });
                           state.counters["away MiB"] = static_cast<double>(layers.store().bytes_read() - before) /
                                                        static_cast<double>(steps * layers.count) / mib;
                           state.counters["past page cache"] = layers.store().file().direct();
                       } else {
                           bench::measure(state, threads, all, layers.count, step);
                       }
                       state.counters["resident MiB"] = static_cast<double>(layers.resident_bytes()) / mib;
                   });
}

template <q::Tokens Recent>
void add_attentions(std::int64_t tokens) {
    add_attention<q::kv_cache::Contiguous<>>("Contiguous", tokens);
    add_attention<q::kv_cache::Paged<>>("Paged", tokens);
    add_attention<q::kv_cache::Offloaded<q::kv_cache::Contiguous<>, Recent>>("Offloaded", tokens);
    add_attention<q::kv_cache::Offloaded<q::kv_cache::Contiguous<q::kv_cache::Int4>, Recent>>("Offloaded", tokens);
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<q::concat_t<q::concat_t<q::kv_cache::all, q::kv_cache::typed>, q::kv_cache::with_parameters>>(
        []<class T>(T) { add_cache<typename T::type>(); });
    add_attentions<q::Tokens{1024}>(4096);
    add_attentions<q::Tokens{4096}>(16384);
    return bench::run(argc, argv);
}
