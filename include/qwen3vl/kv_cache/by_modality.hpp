#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <qwen3vl/core/token_modalities.hpp>
#include <qwen3vl/kv_cache/mixed_tile.hpp>
#include <qwen3vl/kv_cache/tile_variant.hpp>
#include <span>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI {

/// How much smaller a cache with a codec for each modality is than one with the codec of text alone.
struct Compression {
    double ratio = 1;  ///< bytes of the one with a codec over those of the other, for the same context
};

namespace kv_cache {

/// Two codecs as one name, "bf16+int4".
template <class Language, class Vision>
struct JoinedCodec {
  private:
    static constexpr auto joined = [] {
        constexpr std::string_view a = Language::name, b = Vision::name;
        std::array<char, a.size() + b.size() + 2> text{};
        std::copy(b.begin(), b.end(), std::copy(a.begin(), a.end(), text.begin()) + 1);
        text[a.size()] = '+';
        return text;
    }();
    template <class Codec>
    static constexpr bool directed = requires {
        requires Codec::needs_directions;
    };

  public:
    static constexpr auto name = joined.data();  ///< both names
    /// True if one of them keeps the first numbers of a row alone.
    static constexpr bool needs_directions = directed<Language> || directed<Vision>;
};

/// Two codecs in one cache, by the modality of tokens: text as `Language`, tokens filled by pictures and clips as
/// `Vision` (visual tokens are many and alike, and stand fewer bits: Wan et al., 2024, "LOOK-M", section 3; here they
/// are kept all, in fewer bits). Text fills the memory from the front and pictures from the back, each densely in tiles
/// of its own order, so that a token takes its codec's bytes wherever it stands. The memory is that of a Contiguous
/// cache of `Language` over C.ratio, and a tile: at a ratio of 1 any text fits; above, what there is of both must fit,
/// or the prompt or token is a ContextOverflow. With Bf16 and Int4 at head_dim 128 a visual token takes 72 % less than
/// text: a ratio of 2 holds a context of which 70 % are visual.
///
/// A tile of the sequence that holds both modalities, or whose tokens lie across two tiles of their store, is brought
/// together as float32 before use, which costs about what widening a tile in 4 bits does.
///     kv_cache::ByModality<kv_cache::Bf16, kv_cache::Int4, Compression{.ratio = 2}>
template <class Language = Bf16, class Vision = Int4, Compression C = Compression{}>
struct ByModality {
    static_assert(C.ratio >= 1 && C.ratio < 1e6,
                  "qwen3vl: slot kv_cache: ByModality needs a Compression of a ratio "
                  "from 1; 1 holds any mix of text and pictures");
    static_assert(Vision::tile_bytes(128) <= Language::tile_bytes(128),
                  "qwen3vl: slot kv_cache: ByModality has the larger codec for visual tokens, which saves nothing; put "
                  "the smaller one second");
    static constexpr const char* name = "ByModality";
    using codec = JoinedCodec<Language, Vision>;
    static constexpr bool can_rewind = true;
    static constexpr bool can_save = true;
    static constexpr std::int64_t capacity = 0;    ///< the session's context
    static constexpr bool copied_by_forks = true;  ///< of a sequence
    static constexpr bool by_modality = true;      ///< its Layer is made with the modalities of the sequence

    /// Bytes of one layer.
    static std::int64_t bytes(const Extent& e) {
        const auto all = static_cast<double>(ceil_div(e.tokens, tile_keys) * language_bytes(e));
        return round_up(static_cast<std::int64_t>(std::ceil(all / C.ratio)), 64) + vision_bytes(e);
    }
    /// True if so many tokens of each modality fit.
    static bool holds(const Extent& e, std::int64_t language, std::int64_t vision) {
        return saved_bytes(e, language, vision) <= bytes(e);
    }
    /// Bytes that Layer::for_each_piece gives for so many tokens of each modality.
    static std::int64_t saved_bytes(const Extent& e, std::int64_t language, std::int64_t vision) {
        return ceil_div(language, tile_keys) * language_bytes(e) + ceil_div(vision, tile_keys) * vision_bytes(e);
    }
    /// Tokens that may be written before the first of them is read.
    static std::int64_t largest_chunk(const Extent&) { return std::numeric_limits<std::int64_t>::max(); }

    /// One layer's keys and values, in memory that the caller owns: bytes(extent), zeroed. `types` are those of the
    /// sequence's tokens, known before a token is written.
    class Layer {
      public:
        /// A tile of both stores.
        using Mixed = MixedTile<Language, Vision>;
        /// A tile of one store, or of both.
        using AnyTile = TileVariant<typename Language::tile, TileVariant<typename Vision::tile, Mixed>>;

        /// Makes an empty layer.
        Layer(std::byte* memory, const Extent& e, const TokenModalities& types)
            : memory_(memory), end_(memory + bytes(e)), extent_(e), types_(types) {}
        /// Stores the key and value of one head and token; rows of `channels` floats.
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            const std::int64_t visual = types_.visual_before(token);
            if (types_[token] == Modality::vision)
                Vision::template write<Arch>(vision_at(kv_head, visual / tile_keys), extent_.channels,
                                             visual % tile_keys, key, value);
            else
                Language::template write<Arch>(language_at(kv_head, (token - visual) / tile_keys), extent_.channels,
                                               (token - visual) % tile_keys, key, value);
        }
        /// The tile that begins at sequence index tile_keys * index, as far as `tokens` tokens are stored.
        AnyTile tile(std::int64_t kv_head, std::int64_t index, std::int64_t tokens) const {
            const std::int64_t first = index * tile_keys, count = std::min(tile_keys, tokens - first);
            const std::int64_t visual = types_.visual_before(first), language = first - visual;
            const std::uint64_t all = ~std::uint64_t{0} >> (tile_keys - count), seen = types_.visual_in(index) & all;
            if (seen == 0 && language % tile_keys == 0)
                return Language::view(language_at(kv_head, language / tile_keys), extent_.channels, first, count);
            if (seen == all && visual % tile_keys == 0)
                return Vision::view(vision_at(kv_head, visual / tile_keys), extent_.channels, first, count);
            return Mixed({language_at(kv_head, 0), language_bytes(extent_), extent_.channels},
                         {vision_at(kv_head, 0), -vision_bytes(extent_), extent_.channels}, seen, language, visual,
                         first, count);
        }
        /// f(bytes) for the memory that holds the first `tokens` tokens, zeros behind them: text, then pictures. The
        /// order does not depend on the context.
        template <class F>
        void for_each_piece(std::int64_t tokens, F&& f) {
            const std::int64_t visual = types_.visual_before(tokens), language = tokens - visual;
            for (std::int64_t h = 0; h < extent_.kv_heads; ++h) {
                if (language % tile_keys)
                    Language::clear(language_at(h, language / tile_keys), extent_.channels, language % tile_keys);
                if (visual % tile_keys)
                    Vision::clear(vision_at(h, visual / tile_keys), extent_.channels, visual % tile_keys);
            }
            const auto front = static_cast<std::size_t>(saved_bytes(extent_, language, 0)),
                       back = static_cast<std::size_t>(saved_bytes(extent_, 0, visual));
            if (front > 0) f(std::span(memory_, front));
            if (back > 0) f(std::span(end_ - back, back));
        }

      private:
        std::byte* language_at(std::int64_t kv_head, std::int64_t tile) const {
            return memory_ + tile * language_bytes(extent_) + kv_head * Language::tile_bytes(extent_.channels);
        }
        std::byte* vision_at(std::int64_t kv_head, std::int64_t tile) const {
            return end_ - (tile + 1) * vision_bytes(extent_) + kv_head * Vision::tile_bytes(extent_.channels);
        }

        std::byte *memory_, *end_;
        Extent extent_;
        TokenModalities types_;
    };

  private:
    /// Bytes of a tile of all heads.
    static std::int64_t language_bytes(const Extent& e) { return e.kv_heads * Language::tile_bytes(e.channels); }
    static std::int64_t vision_bytes(const Extent& e) { return e.kv_heads * Vision::tile_bytes(e.channels); }
};

}  // namespace kv_cache
}  // namespace qwen3vl
