#pragma once
#include <filesystem>
#include <memory>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/tables.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/kv_cache/tile.hpp>
#include <qwen3vl/kv_cache/tile_store.hpp>
#include <qwen3vl/memory/arena.hpp>
#include <vector>

/// For tests and benches.
namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// One layer of a cache outside of a session, in memory that somebody else owns: bytes(extent), zeroed.
template <class Cache>
struct StandaloneLayer : Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t /*stage_keys*/ = 0, Tables /*tables*/ = {}) : Cache::Layer(memory, e) {}
};

namespace detail {
/// Unit matrices [heads, n, n] twice.
inline std::vector<std::vector<float>> unit_tables(std::int64_t heads, std::int64_t n) {
    std::vector<float> unit(static_cast<std::size_t>(heads * n * n));
    for (std::int64_t row = 0; row < heads * n; ++row) unit[static_cast<std::size_t>(row * n + row % n)] = 1;
    return {2, unit};
}
}  // namespace detail

/// With tables; without any, its directions are the channels themselves.
template <class Cache>
requires NeedsTables<Cache, TextDims>
struct StandaloneLayer<Cache> : Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t /*stage_keys*/ = 0, Tables tables = {})
        : Cache::Layer(memory, e, tables.empty() ? detail::unit_tables(e.kv_heads, e.channels) : std::vector(tables.begin(), tables.end())) {}
};

namespace detail {
/// A file in the folder for temporary ones, and frames.
class StandaloneFile {
  public:
    StandaloneFile(std::int64_t file_bytes, std::int64_t frame_bytes) : frames_(kv_cache::TileStore::memory_bytes(frame_bytes)) {
        if (file_bytes > 0)
            store_ =
                std::make_unique<kv_cache::TileStore>(std::filesystem::temp_directory_path().string(), file_bytes, frames_.take(frames_.size()), frame_bytes);
    }
    kv_cache::TileStore* store() const { return store_.get(); }

  private:
    memory::Arena frames_;
    std::unique_ptr<kv_cache::TileStore> store_;
};
}  // namespace detail

/// With a file of its own, whose stages have at most so many keys. After itself the layer attends again.
template <kv_cache::Offloads Cache>
struct StandaloneLayer<Cache> : private detail::StandaloneFile, Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t stage_keys = 16 * kv_cache::tile_keys, Tables /*tables*/ = {})
        : detail::StandaloneFile(Cache::file_bytes(e), Cache::frame_bytes(e, stage_keys)), Cache::Layer(memory, e, {store(), 0, 0}) {}
    using detail::StandaloneFile::store;
};

/// Pages in memory that somebody else owns, handed out in no order, and a sequence's table.
class StandalonePages {
  public:
    StandalonePages(std::byte* memory, std::int64_t page_bytes, std::int64_t context)
        : store_(memory, page_bytes, ceil_div(context, kv_cache::tile_keys)),
          table_memory_(kv_cache::PageTable::bytes(context)),
          table_(store_, table_memory_.take(table_memory_.size()), context) {
        std::vector<std::byte*> pages(static_cast<std::size_t>(store_.pages()));
        store_.take(pages);
        for (const std::size_t first : {0u, 1u})
            for (std::size_t i = first; i < pages.size(); i += 2) store_.release({&pages[i], 1});
    }
    kv_cache::PageTable& table() { return table_; }

  private:
    kv_cache::PageStore store_;
    memory::Arena table_memory_;
    kv_cache::PageTable table_;
};

/// In pages of its own.
template <kv_cache::Pages Cache>
struct StandaloneLayer<Cache> : private StandalonePages, Cache::Layer {
    StandaloneLayer(std::byte* memory, const kv_cache::Extent& e, std::int64_t /*stage_keys*/ = 0, Tables /*tables*/ = {})
        : StandalonePages(memory, Cache::page_bytes(e), e.tokens), Cache::Layer(table(), 0, e) {}
};

/// A tile of a layer that holds so many tokens, wherever it lies. For one thread, until the next call.
template <class Layer>
auto tile_of(const Layer& layer, std::int64_t kv_head, std::int64_t index, std::int64_t tokens) {
    const auto tiles = kv_cache::later_tiles_of(layer, tokens);
    if constexpr (kv_cache::StagedTiles<decltype(tiles)>)
        if (index < tiles.away()) tiles.bring(index, index + 1);
    return tiles(kv_head, index);
}

}  // namespace qwen3vl::testing
