#pragma once
#include <algorithm>
#include <limits>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/tile_store.hpp>
#include <type_traits>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Keeps the latest Recent.n tokens and the rest of their tiles in memory, and older tiles in a file on disk.
/// Bit-identical to Inner, in memory that does not grow with the context. Attention reads the older keys from first to
/// last, in stages of whole segments. While one stage is computed with, the next ones are read, and at the end of a
/// layer the first ones of the next layer (the overlap of Sheng et al., 2023, "FlexGen", algorithm 1, for one
/// sequence). So decoding runs at the pace of the disk, and a chunk of a prompt reads everything once, whatever its
/// length. Keys that a mask hides are not read. All layers share the frames for that, four stages of 1024 tokens. As
/// many tokens as are in memory pass through the layers at once.
///
/// SessionOptions::offload_folder names the folder; all room is taken when the session is made, and given back with it.
/// The system's page cache is bypassed where the file system can (core/scratch_file.hpp). A failing disk is a FileError
/// of the call that needs it, with the session as before.
///     kv_cache::Offloaded<kv_cache::Contiguous<kv_cache::Int8>, Tokens{2048}>
template <class Inner = Contiguous<>, Tokens Recent = Tokens{1024}>
struct Offloaded {
    using codec = typename Inner::codec;
    static_assert(std::is_same_v<Inner, Contiguous<codec>>,
                  "qwen3vl: slot kv_cache: Offloaded is over Contiguous, any codec; Ring and Hybrid bound their memory "
                  "themselves, and CrossLayer goes outside");
    static_assert(Recent.n >= 0, "qwen3vl: slot kv_cache: Offloaded needs Recent of 0 Tokens or more");
    static constexpr const char* name = "Offloaded";
    static constexpr bool can_rewind = Inner::can_rewind;
    static constexpr bool can_save = Inner::can_save;
    static constexpr std::int64_t capacity = Inner::capacity;

    /// Tiles in memory: the latest, and as many before it as hold Recent.n tokens.
    static std::int64_t ring_tiles(const Extent& e) {
        return std::min(1 + ceil_div(std::int64_t{Recent.n}, tile_keys), Contiguous<codec>::tiles(e));
    }
    /// Bytes from a tile of one head to the next.
    static std::int64_t stride(const Extent& e) { return round_up(codec::tile_bytes(e.channels), ScratchFile::block); }
    /// Bytes of one layer in memory, and in the file.
    static std::int64_t bytes(const Extent& e) { return 2 * ScratchFile::block + ring_tiles(e) * row_bytes(e); }
    /// Bytes of one layer in the file.
    static std::int64_t file_bytes(const Extent& e) {
        return (Contiguous<codec>::tiles(e) - ring_tiles(e)) * row_bytes(e);
    }
    /// Bytes of a frame for `keys` keys, a multiple of 64; no more than a layer's tiles in the file.
    static std::int64_t frame_bytes(const Extent& e, std::int64_t keys) {
        return std::min(keys / tile_keys * row_bytes(e), file_bytes(e));
    }
    static std::int64_t saved_bytes(const Extent& e, std::int64_t tokens) {
        return Contiguous<codec>::saved_bytes(e, tokens);
    }
    static std::int64_t largest_chunk(const Extent& e) {
        return file_bytes(e) == 0 ? std::numeric_limits<std::int64_t>::max() : chunk_within(ring_tiles(e));
    }

    /// Location of a layer's tiles on disk.
    struct Place {
        TileStore* store = nullptr;  ///< null where file_bytes() is 0
        std::int64_t begin = 0;      ///< first byte of this layer's file_bytes() in the file
        std::int64_t next = -1;      ///< `begin` of the layer that attends next; -1 where no layer of this type does
    };

    class Layer;

    /// The tiles of a layer, as StagedTiles. Refers to the layer.
    class Reader {
      public:
        static constexpr std::int64_t ahead = TileStore::ahead;  ///< frames that may be asked for beyond the one in use

        /// Reads for the first `tokens` tokens.
        Reader(const Layer& layer, std::int64_t tokens) : layer_(&layer), tokens_(tokens) {}
        /// Gives a tile in memory, or one that await() waited for.
        typename codec::tile operator()(std::int64_t kv_head, std::int64_t index) const {
            const Layer& l = *layer_;
            const std::byte* at =
                index < l.state().from ? l.place_.store->at(l.position(kv_head, index)) : l.in_ring(kv_head, index);
            return codec::view(at, l.channels_, index * tile_keys, std::min(tile_keys, tokens_ - index * tile_keys));
        }
        /// Tiles that are not in memory: the first so many.
        std::int64_t away() const { return std::min(layer_->state().from, ceil_div(tokens_, tile_keys)); }
        /// Tiles of a head that come with one ask() at most.
        std::int64_t most_tiles() const { return layer_->place_.store->frame_bytes() / layer_->row_; }
        /// for_each_wanted(want) calls want(kv_head, index) for some of tiles [first, last), last <= away().
        template <class F>
        void ask(std::int64_t first, std::int64_t last, F&& for_each_wanted) const {
            ask_at(layer_->place_.begin, first, last, for_each_wanted);
        }
        /// Asks for tiles [first, last) of the layer that attends next; does nothing where none is known.
        template <class F>
        void ask_next(std::int64_t first, std::int64_t last, F&& for_each_wanted) const {
            if (layer_->place_.next >= 0) ask_at(layer_->place_.next, first, last, for_each_wanted);
        }
        /// Waits for the tiles asked for from tile `first` on.
        void await(std::int64_t first) const { layer_->place_.store->await(layer_->position(0, first)); }
        /// Lets go of the frame in use, for the next ask().
        void release() const { layer_->place_.store->release(); }
        /// Tiles [first, last) of all heads, at once.
        void bring(std::int64_t first, std::int64_t last) const {
            ask(first, last, [&](auto&& want) {
                for (std::int64_t i = first; i < last; ++i)
                    for (std::int64_t h = 0; h < layer_->kv_heads_; ++h) want(h, i);
            });
            await(first);
        }

      private:
        template <class F>
        void ask_at(std::int64_t begin, std::int64_t first, std::int64_t last, F&& for_each_wanted) const {
            const Layer& l = *layer_;
            l.place_.store->ask({begin + first * l.row_, (last - first) * l.kv_heads_, l.stride_}, [&](auto&& want) {
                for_each_wanted(
                    [&](std::int64_t kv_head, std::int64_t index) { want((index - first) * l.kv_heads_ + kv_head); });
            });
        }
        const Layer* layer_;
        std::int64_t tokens_;
    };

    class Layer {
      public:
        /// Lays an empty layer over bytes(e) of zeroed memory and its place in the file.
        Layer(std::byte* memory, const Extent& e, const Place& place)
            : state_(reinterpret_cast<State*>(memory)),
              ring_(memory + ScratchFile::block),
              place_(place),
              kv_heads_(e.kv_heads),
              channels_(e.channels),
              stride_(Offloaded::stride(e)),
              row_(row_bytes(e)),
              tiles_(ring_tiles(e)) {
            ring_ += -reinterpret_cast<std::uintptr_t>(ring_) % ScratchFile::block;
        }
        /// Stores a key and a value, after reserve_tokens(); rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            codec::template write<Arch>(in_ring(kv_head, token / tile_keys), channels_, token % tile_keys, key, value);
        }
        /// A tile in memory: of the latest, or, after await(), of those that a reader brought.
        typename codec::tile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            return reader(tokens)(kv_head, index);
        }
        /// The tiles of the first `tokens` tokens.
        Reader reader(std::int64_t tokens) const { return {*this, tokens}; }

        /// Makes room for tokens [first, first + count): tiles that they overwrite go to the file, and after a rewind
        /// those before them come back. Throws FileError.
        void reserve_tokens(std::int64_t first, std::int64_t count) {
            State& s = state();
            const std::int64_t old = ceil_div(first, tile_keys), end = ceil_div(first + count, tile_keys),
                               from = std::max<std::int64_t>(0, end - tiles_);
            s.to = std::min(s.to, old);
            s.from = std::min(s.from, s.to);
            s.saved = std::min(s.saved, s.to);
            if (s.saved < from) {
                for_each_run(s.saved, from, [&](std::int64_t position, std::span<std::byte> bytes) {
                    place_.store->write(position, bytes);
                });
                s.saved = from;
            }
            if (from < s.from) {  // [from, s.from) was saved, and what lies there in the ring is void
                const std::int64_t last = s.from;
                for_each_run(from, last, [&](std::int64_t position, std::span<std::byte> bytes) {
                    place_.store->read(position, bytes);
                });
            }
            s.from = from;
            s.to = end;
            s.saved = std::min(s.saved, first / tile_keys);  // from there on they change
        }

        /// f(bytes) for the memory that holds the first `tokens` tokens, zeros behind them, tile by tile of all heads:
        /// what a file of the cache keeps.
        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            const Reader tiles = reader(tokens);
            const std::int64_t used = ceil_div(tokens, tile_keys), away = tiles.away();
            for (std::int64_t index = 0, brought = 0; index < used; ++index) {
                if (index < away && index == brought) {
                    brought = std::min(away, index + tiles.most_tiles());
                    tiles.bring(index, brought);
                }
                for (std::int64_t h = 0; h < kv_heads_; ++h) {
                    std::byte* at = index < away ? place_.store->at(position(h, index)) : in_ring(h, index);
                    if (index == used - 1 && tokens % tile_keys) codec::clear(at, channels_, tokens % tile_keys);
                    f(std::span(at, static_cast<std::size_t>(codec::tile_bytes(channels_))));
                }
            }
            if (away > 0) tiles.release();
        }
        /// Restores the first `tokens` tokens: f(bytes) fills each piece that for_each_piece() gives, in the same
        /// order. Throws FileError; the layer is then to be taken as empty.
        template <class F>
        void fill_pieces(std::int64_t tokens, F&& f) {
            for (std::int64_t index = 0; index * tile_keys < tokens; ++index) {
                reserve_tokens(index * tile_keys, tile_keys);
                for (std::int64_t h = 0; h < kv_heads_; ++h)
                    f(std::span(in_ring(h, index), static_cast<std::size_t>(codec::tile_bytes(channels_))));
            }
        }

      private:
        friend class Reader;
        /// State of the ring and the file, in the layer's memory, which layers may share. Tiles [from, to) are in the
        /// ring, tiles [0, saved) in the file; from <= saved <= to.
        struct State {
            std::int64_t from, to, saved;
        };
        static_assert(sizeof(State) <= ScratchFile::block);

        State& state() const { return *state_; }
        std::byte* in_ring(std::int64_t kv_head, std::int64_t index) const {
            return ring_ + index % tiles_ * row_ + kv_head * stride_;
        }
        /// Byte of the file where a tile begins.
        std::int64_t position(std::int64_t kv_head, std::int64_t index) const {
            return place_.begin + index * row_ + kv_head * stride_;
        }
        /// f(position in the file, bytes in the ring) for tiles [first, last), as many at once as are neighbours in
        /// both.
        template <class F>
        void for_each_run(std::int64_t first, std::int64_t last, F&& f) {
            while (first < last) {
                const std::int64_t end = std::min(last, (first / tiles_ + 1) * tiles_);
                f(position(0, first), std::span(in_ring(0, first), static_cast<std::size_t>((end - first) * row_)));
                first = end;
            }
        }

        State* state_;
        std::byte* ring_;  ///< [tiles_, kv_heads_] of stride_ bytes
        Place place_;
        std::int64_t kv_heads_, channels_, stride_, row_, tiles_;
    };

  private:
    static std::int64_t row_bytes(const Extent& e) { return e.kv_heads * stride(e); }
};

}  // namespace qwen3vl::kv_cache
