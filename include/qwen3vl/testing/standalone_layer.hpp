#pragma once
#include <cmath>
#include <filesystem>
#include <memory>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
#include <qwen3vl/kv_cache/tile_store.hpp>
#include <qwen3vl/memory/arena.hpp>
#include <span>
#include <vector>

/// Cache layers outside of a session, for tests and benches.
namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// Vectors of a policy's parameters.
using Tables = std::span<const std::vector<float>>;

/// One layer of a cache outside of a session, in memory that the caller owns: bytes(extent), zeroed.
template <class Cache>
struct StandaloneLayer : Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t /*stage_keys*/ = 0,
                    Tables /*tables*/ = {})
        : Cache::Layer(memory, e) {}
};

/// Parameters of a policy with vectors alone, which are given in the order of its visit.
template <class P>
auto parameters_from(Tables tables) {
    parameters_of<P, qwen3vl::detail::AnyParameter, std::vector<float>> parameters;
    std::size_t n = 0;
    visit_parameters_of<P>(TextDims{}, parameters,
                           [&](const std::string&, const Shape&, std::vector<float>& v) { v = tables[n++]; });
    return parameters;
}

namespace detail {
/// Unit matrices [heads, n, n] twice.
inline std::vector<std::vector<float>> unit_tables(std::int64_t heads, std::int64_t n) {
    std::vector<float> unit(static_cast<std::size_t>(heads * n * n));
    for (std::int64_t row = 0; row < heads * n; ++row) unit[static_cast<std::size_t>(row * n + row % n)] = 1;
    return {2, unit};
}
}  // namespace detail

namespace detail {
/// A layer's parameters, prepared.
template <class Cache>
struct StandaloneParameters {
    decltype(parameters_from<Cache>(Tables{})) parameters;
    StandaloneParameters(const kv_cache::Extent& e, Tables tables)
        : parameters(parameters_from<Cache>(tables.empty() ? Tables(unit_tables(e.kv_heads, e.channels)) : tables)) {
        const std::int64_t n = tables.empty() ? e.channels * e.channels : std::ssize(tables[0]) / e.kv_heads;
        TextDims d;
        d.kv_heads = static_cast<int>(e.kv_heads);
        d.head_dim = static_cast<int>(std::lround(std::sqrt(static_cast<double>(n))));
        Cache::prepare(d, parameters);
    }
};
}  // namespace detail

/// A layer with parameters. Without `tables` its directions are the channels themselves.
template <BringsParameters Cache>
struct StandaloneLayer<Cache> : detail::StandaloneParameters<Cache>, Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t /*stage_keys*/ = 0, Tables tables = {})
        : detail::StandaloneParameters<Cache>(e, tables), Cache::Layer(memory, e, this->parameters) {}
};

namespace detail {
/// A file in the folder for temporary ones, and frames.
class StandaloneFile {
  public:
    StandaloneFile(std::int64_t file_bytes, std::int64_t frame_bytes)
        : frames_(kv_cache::TileStore::memory_bytes(frame_bytes)) {
        if (file_bytes > 0)
            store_ = std::make_unique<kv_cache::TileStore>(std::filesystem::temp_directory_path().string(), file_bytes,
                                                           frames_.take(frames_.size()), frame_bytes);
    }
    kv_cache::TileStore* store() const { return store_.get(); }

  private:
    memory::Arena frames_;
    std::unique_ptr<kv_cache::TileStore> store_;
};
}  // namespace detail

/// A layer with a file of its own, whose stages have at most `stage_keys` keys. The next layer to attend is itself.
template <kv_cache::Offloads Cache>
struct StandaloneLayer<Cache> : private detail::StandaloneFile, Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t stage_keys = 16 * kv_cache::tile_keys,
                    Tables /*tables*/ = {})
        : detail::StandaloneFile(Cache::file_bytes(e), Cache::frame_bytes(e, stage_keys)),
          Cache::Layer(memory, e, {store(), 0, 0}) {}
    using detail::StandaloneFile::store;
};

/// Pages in memory that the caller owns, handed out in no particular order, and a sequence's table.
class StandalonePages {
  public:
    StandalonePages(std::byte* memory, std::int64_t page_bytes, std::int64_t context)
        : store_(memory, page_bytes, ceil_div(context, kv_cache::tile_keys)),
          table_memory_(kv_cache::PageTable::bytes(context)),
          table_(store_, table_memory_.take(table_memory_.size()), tokens_) {
        std::vector<std::byte*> pages(static_cast<std::size_t>(store_.pages()));
        store_.take(pages);
        for (const std::size_t first : {0u, 1u})
            for (std::size_t i = first; i < pages.size(); i += 2) store_.release({&pages[i], 1});
    }
    kv_cache::PageTable& table() { return table_; }

  private:
    kv_cache::PageStore store_;
    memory::Arena table_memory_;
    TokenLog tokens_;  ///< none: nobody shares the pages
    kv_cache::PageTable table_;
};

/// A layer in pages of its own.
template <kv_cache::Pages Cache>
struct StandaloneLayer<Cache> : private StandalonePages, Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t /*stage_keys*/ = 0,
                    Tables /*tables*/ = {})
        : StandalonePages(memory, Cache::page_bytes(e), e.tokens), Cache::Layer(table(), 0, e) {}
};

/// A layer that keeps modalities apart, of tokens with these.
template <class Cache>
requires(kv_cache::ByModalities<Cache> && !BringsParameters<Cache>) struct StandaloneLayer<Cache> : Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, const TokenModalities& types)
        : Cache::Layer(memory, e, types) {}
};
/// As the other, with parameters.
template <class Cache>
requires(kv_cache::ByModalities<Cache>&& BringsParameters<Cache>) struct StandaloneLayer<Cache>
    : detail::StandaloneParameters<Cache>, Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, const TokenModalities& types, Tables tables = {})
        : detail::StandaloneParameters<Cache>(e, tables), Cache::Layer(memory, e, this->parameters, types) {}
};

/// A layer of any cache, for tokens of these types.
template <class Cache>
StandaloneLayer<Cache> standalone_layer(std::byte* memory, const kv_cache::Extent& e, std::int64_t stage_keys,
                                        Tables tables, const TokenModalities& types) {
    if constexpr (!kv_cache::ByModalities<Cache>)
        return {memory, e, stage_keys, tables};
    else if constexpr (BringsParameters<Cache>)
        return {memory, e, types, tables};
    else
        return {memory, e, types};
}

/// A tile of a layer that holds so many tokens, wherever it lies. For one thread, until the next call.
template <class Layer>
auto tile_of(const Layer& layer, std::int64_t kv_head, std::int64_t index, std::int64_t tokens) {
    const auto tiles = kv_cache::later_tiles_of(layer, tokens);
    if constexpr (kv_cache::StagedTiles<decltype(tiles)>)
        if (index < tiles.away()) tiles.bring(index, index + 1);
    return tiles(kv_head, index);
}

}  // namespace qwen3vl::testing
