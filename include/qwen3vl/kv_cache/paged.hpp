#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/kv_cache/page_table.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Keeps the context in pages of 64 tokens and all layers, which many sequences take from one pool (Kwon et al., 2023,
/// "Efficient memory management for large language model serving with PagedAttention", section 4). Memory is used by
/// tokens there are, not by contexts there could be. Sequences that begin with the same tokens and pictures refer to
/// the same pages, and compute them once; writing to a shared page copies it. Bit-identical to Contiguous. Keys are
/// kept after rotation. Their positions follow from the tokens and pictures up to them, so that equal prefixes have
/// equal keys.
///
/// The pool belongs to the caller (session/page_pool.hpp); all layers of a model are Paged, or none.
///     struct Shared : q::TextPolicies<>::with_kv_cache<q::kv_cache::Paged<>> {};
///     using Model = q::Model<q::models::Qwen3VL_2B, q::Policies<>::with_text<Shared>>;
///     q::PagePool pool(model, {.tokens = 65536});
///     q::Chat first(pool, {.system = rules}), second(pool, {.system = rules});  // the rules are computed once
template <class Codec = Bf16>
struct Paged {
    static constexpr const char* name = "Paged";
    using codec = Codec;
    static constexpr bool can_rewind = true;
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = 0;  ///< the session's context

    /// Bytes of one layer in a page, and in the pages of a whole context.
    static std::int64_t page_bytes(const Extent& e) { return e.kv_heads * Codec::tile_bytes(e.channels); }
    static std::int64_t bytes(const Extent& e) { return ceil_div(e.tokens, tile_keys) * page_bytes(e); }
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) {
        return ceil_div(tokens, tile_keys) * page_bytes(e);
    }
    static std::int64_t largest_chunk(const Extent&) { return std::numeric_limits<std::int64_t>::max(); }

    /// One layer's keys and values, `begin` bytes from where each page begins: [kv_heads] tiles.
    class Layer {
      public:
        /// Lays a layer over the pages of a sequence's table.
        Layer(PageTable& table, std::int64_t begin, const Extent& e)
            : table_(&table),
              begin_(begin),
              channels_(e.channels),
              tile_bytes_(Codec::tile_bytes(e.channels)),
              page_bytes_(Paged::page_bytes(e)) {}
        /// Stores a key and a value, after reserve_tokens(); rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            Codec::template write<Arch>(at(kv_head, token / tile_keys), channels_, token % tile_keys, key, value);
        }
        typename Codec::tile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            auto tile = Codec::view(at(kv_head, index), channels_, index * tile_keys,
                                    std::min(tile_keys, tokens - index * tile_keys));
            if constexpr (requires { tile.next; })
                if ((index + 1) * tile_keys < tokens)
                    tile.next = Codec::view(at(kv_head, index + 1), channels_, 0, 0).keys;
            return tile;
        }
        /// The first layer that is asked finds the pages for all. Throws PoolExhausted.
        void reserve_tokens(std::int64_t first, std::int64_t count) { table_->reserve_tokens(first, count); }

        /// f(bytes) for what holds the first `tokens` tokens, zeros behind them, page by page: what a file of the cache
        /// keeps.
        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            const std::int64_t full = tokens / tile_keys;
            for (std::int64_t i = 0; i < full; ++i) f(part(i));
            if (tokens % tile_keys == 0) return;
            const auto last = part(full);
            std::vector<std::byte> copy(last.begin(), last.end());  // others may refer to what lies behind the tokens
            for (auto tile = copy.begin(); tile != copy.end(); tile += tile_bytes_)
                Codec::clear(&*tile, channels_, tokens % tile_keys);
            f(std::span(copy));
        }
        /// Restores the first `tokens` tokens: f(bytes) fills each piece that for_each_piece() gives, in the same
        /// order.
        template <class F>
        void fill_pieces(std::int64_t tokens, F&& f) {
            reserve_tokens(0, tokens);
            for (std::int64_t i = 0; i < ceil_div(tokens, tile_keys); ++i) f(part(i));
        }

      private:
        std::byte* at(std::int64_t kv_head, std::int64_t index) const {
            return table_->page(index) + begin_ + kv_head * tile_bytes_;
        }
        std::span<std::byte> part(std::int64_t index) const {
            return {at(0, index), static_cast<std::size_t>(page_bytes_)};
        }

        PageTable* table_;
        std::int64_t begin_, channels_, tile_bytes_, page_bytes_;
    };
};

}  // namespace qwen3vl::kv_cache
