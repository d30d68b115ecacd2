#pragma once
#include <algorithm>
#include <optional>
#include <qwen3vl/attention/layer.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/policies/policies.hpp>
#include <qwen3vl/text/decoder.hpp>
#include <qwen3vl/vision/tower.hpp>
#include <tuple>
#include <utility>
#include <vector>

/// Policies that meet in a layer, and what they ask of a sequence.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// The policies that fall together in layers I, I + period, …
template <class P, std::size_t I>
struct LayerSlots {
    using Attention = policy_at<typename P::Text::Attention, I>;
    using KvCache = policy_at<typename P::Text::KvCache, I>;
    using StoredWeights = policy_at<typename P::Text::Weights, I>;  ///< streamed or not
    using Weights = typename weights::streaming<StoredWeights>::format;
    using MaskState = attention::MaskState<typename Attention::mask>;
    static constexpr kv_cache::Extent extent(const TextDims& d, int context) {
        return {d.kv_heads, kv_cache::padded_channels(d.head_dim), context, Attention::mask::span,
                Attention::mask::sinks};
    }
    /// Channels of the keys that the mask sees.
    static constexpr std::int64_t mask_channels(const TextDims& d) {
        return kv_cache::stored_channels<KvCache>(kv_cache::padded_channels(d.head_dim));
    }
};

template <class P>
inline constexpr std::size_t layer_period =
    joint_period<typename P::Text::Attention, typename P::Text::KvCache, typename P::Text::Weights>;

/// Calls f(std::integral_constant<size_t, I>) for the member I of the period that `layer` belongs to.
template <class P, class F>
constexpr void with_layer_slots(std::size_t layer, F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((layer % layer_period<P> == I ? f(std::integral_constant<std::size_t, I>{}) : void()), ...);
    }
    (std::make_index_sequence<layer_period<P>>{});
}

/// Largest of value(LayerSlots) over the layers of the period.
template <class P, class F>
constexpr std::int64_t largest_over_layers(F&& value) {
    std::int64_t n = 0;
    for (std::size_t i = 0; i < layer_period<P>; ++i)
        with_layer_slots<P>(i, [&](auto index) { n = std::max(n, value(LayerSlots<P, index()>{})); });
    return n;
}

/// True if some layer's cache keeps tokens in a file.
template <class P>
inline constexpr bool offloads = []<std::size_t... I>(std::index_sequence<I...>) {
    return (kv_cache::Offloads<typename LayerSlots<P, I>::KvCache> || ...);
}
(std::make_index_sequence<layer_period<P>>{});

/// Calls f(layer, offset, bytes) for each layer with a cache of its own, whose parts lie one behind another.
/// bytes_of(LayerSlots) gives a part's size; nullopt skips the layer.
template <Dims D, class P, class BytesOf, class F>
void for_each_layer_part(BytesOf&& bytes_of, F&& f) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
        with_layer_slots<P>(i, [&](auto index) {
            using S = LayerSlots<P, index()>;
            const std::optional<std::int64_t> bytes = bytes_of(S{});
            if (!bytes || kv_cache::owner_of<typename S::KvCache>(static_cast<int>(i)) != static_cast<int>(i)) return;
            f(i, at, *bytes);
            at += *bytes;
        });
}

/// Calls f(layer, offset in the session's file, bytes) for every layer with tokens of its own there.
template <Dims D, class P, class F>
void for_each_file_part(int context, F&& f) {
    const auto bytes_of = [&](auto s) -> std::optional<std::int64_t> {
        using S = decltype(s);
        if constexpr (kv_cache::Offloads<typename S::KvCache>)
            return S::KvCache::file_bytes(S::extent(D::text, context));
        else
            return {};
    };
    for_each_layer_part<D, P>(bytes_of, f);
}
template <Dims D, class P>
std::int64_t file_bytes(int context) {
    std::int64_t sum = 0;
    for_each_file_part<D, P>(context, [&](std::size_t, std::int64_t, std::int64_t bytes) { sum += bytes; });
    return sum;
}
/// Bytes of a frame that holds a stage of any layer; 0 where no cache is offloaded.
template <Dims D, class P>
std::int64_t frame_bytes(int context) {
    return largest_over_layers<P>([&](auto s) -> std::int64_t {
        using S = decltype(s);
        if constexpr (kv_cache::Offloads<typename S::KvCache>)
            return S::KvCache::frame_bytes(S::extent(D::text, context), attention::stage_keys<typename S::Attention>);
        else
            return 0;
    });
}

/// True if some layer's mask depends on the modality of tokens.
template <class P>
inline constexpr bool masks_by_modality = []<std::size_t... I>(std::index_sequence<I...>) {
    return (concepts::ModalityMask<typename LayerSlots<P, I>::Attention::mask> || ...);
}
(std::make_index_sequence<layer_period<P>>{});

/// True if by some layer's mask the tokens of a picture see each other, so that each picture passes in one chunk.
template <class P>
inline constexpr bool looks_ahead = []<std::size_t... I>(std::index_sequence<I...>) {
    return (concepts::LooksAhead<typename LayerSlots<P, I>::Attention::mask> || ...);
}
(std::make_index_sequence<layer_period<P>>{});

/// True if the layers' caches lie in pages of a pool: all of them, or none.
template <class P>
inline constexpr bool in_pages = kv_cache::Pages<typename LayerSlots<P, 0>::KvCache>;

/// Calls f(layer, offset in a page, bytes) for every layer with a part of its own in a page.
template <Dims D, class P, class F>
void for_each_page_part(F&& f) {
    const auto bytes_of = [](auto s) -> std::optional<std::int64_t> {
        using S = decltype(s);
        if constexpr (kv_cache::Pages<typename S::KvCache>)
            return S::KvCache::page_bytes(S::extent(D::text, 0));
        else
            return {};
    };
    for_each_layer_part<D, P>(bytes_of, f);
}
template <Dims D, class P>
std::int64_t page_bytes() {
    std::int64_t sum = 0;
    for_each_page_part<D, P>([&](std::size_t, std::int64_t, std::int64_t bytes) { sum += bytes; });
    return sum;
}

/// Most tokens of one sequence that every layer's cache takes at once.
template <Dims D, class P>
std::int64_t largest_chunk(int context) {
    std::int64_t n = context;
    for (std::size_t i = 0; i < layer_period<P>; ++i)
        with_layer_slots<P>(i, [&](auto index) {
            using S = LayerSlots<P, index()>;
            n = std::min(n, S::KvCache::largest_chunk(S::extent(D::text, context)));
        });
    return n;
}

template <class P>
using TowerSlots =
    vision::Slots<typename P::Vision::Attention, typename P::Vision::Norm, typename P::Vision::Activation,
                  typename P::Vision::MergerActivation, typename P::Vision::Position,
                  typename weights::streaming<typename P::Vision::Weights>::format>;

}  // namespace qwen3vl::detail
