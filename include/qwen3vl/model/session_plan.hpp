#pragma once
#include <algorithm>
#include <qwen3vl/core/token_types.hpp>
#include <qwen3vl/kv_cache/codec.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/kv_cache/tile_store.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/memory/role.hpp>
#include <qwen3vl/model/policies.hpp>
#include <qwen3vl/text/decoder.hpp>
#include <qwen3vl/vision/tower.hpp>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A session's extents, fixed for its life.
struct SessionOptions {
    int context = 4096;         ///< tokens the KV cache holds, of prompt and answer together
    int chunk = 512;            ///< tokens that pass the layers at once in prefill; results do not depend on it
    int threads = 0;            ///< for prompts and pictures; 0: the execution policy's default
    int decode_threads = 0;     ///< for one token after another; 0: as `threads`
    Grid largest_picture = {};  ///< for the memory plan alone: patches of the largest picture to come; 0: none is planned for
    /// Where caches that keep older tokens on disk make their file, which has no name and goes with the session; MemoryPlan::disk tells its size.
    std::string offload_folder = {};
    /// Where the session's memory may be while nobody calls it, for memory::Tiered; outlives the session.
    memory::Tiers* tiers = nullptr;
};

namespace detail {

/// The policies that fall together in layers I, I + period, …
template <class P, std::size_t I>
struct LayerSlots {
    using Attention = policy_at<typename P::Text::Attention, I>;
    using KvCache = policy_at<typename P::Text::KvCache, I>;
    using StoredWeights = policy_at<typename P::Text::Weights, I>;  ///< paged or not
    using Weights = typename weights::paging<StoredWeights>::format;
    using MaskState = attention::MaskState<typename Attention::mask>;
    static constexpr kv_cache::Extent extent(const TextDims& d, int context) {
        return {d.kv_heads, kv_cache::padded_channels(d.head_dim), context, Attention::mask::span, Attention::mask::sinks};
    }
    /// Channels of the keys that the mask sees.
    static constexpr std::int64_t mask_channels(const TextDims& d) { return kv_cache::stored_channels<KvCache>(kv_cache::padded_channels(d.head_dim)); }
};

template <class P>
inline constexpr std::size_t layer_period = joint_period<typename P::Text::Attention, typename P::Text::KvCache, typename P::Text::Weights>;

/// f(std::integral_constant<size_t, I>) for the member I of the period that `layer` belongs to.
template <class P, class F>
constexpr void with_layer_slots(std::size_t layer, F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { ((layer % layer_period<P> == I ? f(std::integral_constant<std::size_t, I>{}) : void()), ...); }
    (std::make_index_sequence<layer_period<P>>{});
}

/// Largest of value(LayerSlots) over the layers of the period.
template <class P, class F>
constexpr std::int64_t largest_over_layers(F&& value) {
    std::int64_t n = 0;
    for (std::size_t i = 0; i < layer_period<P>; ++i) with_layer_slots<P>(i, [&](auto index) { n = std::max(n, value(LayerSlots<P, index()>{})); });
    return n;
}

/// Whether a layer's cache keeps some of its tokens in a file.
template <class P>
inline constexpr bool offloads = []<std::size_t... I>(std::index_sequence<I...>) {
    return (kv_cache::Offloads<typename LayerSlots<P, I>::KvCache> || ...);
}
(std::make_index_sequence<layer_period<P>>{});

/// f(layer, offset in the session's file, bytes) for every layer with tokens of its own there.
template <Dims D, class P, class F>
void for_each_file_part(const SessionOptions& o, F&& f) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
        with_layer_slots<P>(i, [&](auto index) {
            using S = LayerSlots<P, index()>;
            if constexpr (kv_cache::Offloads<typename S::KvCache>) {
                if (kv_cache::owner_of<typename S::KvCache>(static_cast<int>(i)) != static_cast<int>(i)) return;
                const std::int64_t bytes = S::KvCache::file_bytes(S::extent(D::text, o.context));
                f(i, at, bytes);
                at += bytes;
            }
        });
}
template <Dims D, class P>
std::int64_t file_bytes(const SessionOptions& o) {
    std::int64_t sum = 0;
    for_each_file_part<D, P>(o, [&](std::size_t, std::int64_t, std::int64_t bytes) { sum += bytes; });
    return sum;
}
/// Of a frame that holds a stage of any layer.
template <Dims D, class P>
std::int64_t frame_bytes(const SessionOptions& o) {
    return largest_over_layers<P>([&](auto s) -> std::int64_t {
        using S = decltype(s);
        if constexpr (kv_cache::Offloads<typename S::KvCache>)
            return S::KvCache::frame_bytes(S::extent(D::text, o.context), attention::stage_keys<typename S::Attention>);
        else
            return 0;
    });
}

/// Whether a layer's mask asks for the modality of tokens.
template <class P>
inline constexpr bool types_tokens = []<std::size_t... I>(std::index_sequence<I...>) {
    return (concepts::TypedMask<typename LayerSlots<P, I>::Attention::mask> || ...);
}
(std::make_index_sequence<layer_period<P>>{});
/// Of the types of so many tokens, where a mask asks for them.
template <class P>
std::int64_t token_type_bytes(std::int64_t tokens) {
    return types_tokens<P> ? TokenTypes::bytes(tokens) : 0;
}

/// Whether the layers' caches lie in pages of a pool: all, or none.
template <class P>
inline constexpr bool in_pages = kv_cache::Pages<typename LayerSlots<P, 0>::KvCache>;

/// f(layer, offset in a page, bytes) for every layer with a part of its own in a page.
template <Dims D, class P, class F>
void for_each_page_part(F&& f) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
        with_layer_slots<P>(i, [&](auto index) {
            using S = LayerSlots<P, index()>;
            if constexpr (kv_cache::Pages<typename S::KvCache>) {
                if (kv_cache::owner_of<typename S::KvCache>(static_cast<int>(i)) != static_cast<int>(i)) return;
                const std::int64_t bytes = S::KvCache::page_bytes(S::extent(D::text, 0));
                f(i, at, bytes);
                at += bytes;
            }
        });
}
template <Dims D, class P>
std::int64_t page_bytes() {
    std::int64_t sum = 0;
    for_each_page_part<D, P>([&](std::size_t, std::int64_t, std::int64_t bytes) { sum += bytes; });
    return sum;
}

/// Threads of prefill and of decode, and those of a session's team, which does both.
template <class P>
int prefill_threads(const SessionOptions& o) {
    return P::Execution::team_size(o.threads);
}
template <class P>
int decode_threads(const SessionOptions& o) {
    return o.decode_threads > 0 ? P::Execution::team_size(o.decode_threads) : prefill_threads<P>(o);
}
template <class P>
int team_size(const SessionOptions& o) {
    return std::max(prefill_threads<P>(o), decode_threads<P>(o));
}
/// Options with the defaults of both in place: to find them out asks the system.
template <class P>
SessionOptions with_threads(SessionOptions o) {
    o.threads = prefill_threads<P>(o);
    o.decode_threads = decode_threads<P>(o);
    return o;
}

/// Tokens to a chunk that the options and every cache allow.
template <Dims D, class P>
std::int64_t chunk_tokens(const SessionOptions& o) {
    std::int64_t n = std::max(1, std::min(o.chunk, o.context));
    for (std::size_t i = 0; i < layer_period<P>; ++i)
        with_layer_slots<P>(i, [&](auto index) {
            using S = LayerSlots<P, index()>;
            n = std::min(n, S::KvCache::largest_chunk(S::extent(D::text, o.context)));
        });
    return n;
}

template <class P>
using TowerSlots = vision::Slots<typename P::Vision::Attention, typename P::Vision::Norm, typename P::Vision::Activation, typename P::Vision::MergerActivation,
                                 typename P::Vision::Position, typename weights::paging<typename P::Vision::Weights>::format>;

/// Names every block of memory that a session of these options takes from its memory policy, in order: take(part, bytes, role). The session and its
/// plan are this one list. Pages are not in it: their pool, PagePool, has a plan of its own.
template <Dims D, class P, class Take>
void for_each_session_block(const SessionOptions& o, int threads, Take&& take) {
    constexpr TextDims d = D::text;
    const std::int64_t n = chunk_tokens<D, P>(o), channels = kv_cache::padded_channels(d.head_dim);
    constexpr memory::Role table{}, kept{memory::Pool::attention, memory::Content::kept}, scratch{memory::Pool::attention, memory::Content::scratch},
        activations{memory::Pool::mlp, memory::Content::scratch}, logits{memory::Pool::embedding};
    const auto floats = [&](const char* part, std::int64_t count, const memory::Role& role) {
        take(part, count * static_cast<std::int64_t>(sizeof(float)), role);
    };
    if (const auto frame = frame_bytes<D, P>(o); frame > 0) take("kv_cache: frames", kv_cache::TileStore::memory_bytes(frame), table);
    if constexpr (in_pages<P>) take("kv_cache: block table", kv_cache::PageTable::bytes(o.context), table);
    if (const auto types = token_type_bytes<P>(o.context); types > 0) take("mask", types, table);
    for (std::size_t i = 0; i < static_cast<std::size_t>(d.layers); ++i)
        with_layer_slots<P>(i, [&](auto index) {
            using S = LayerSlots<P, index()>;
            if (const int layer = static_cast<int>(i); !in_pages<P> && kv_cache::owner_of<typename S::KvCache>(layer) == layer)
                take("kv_cache", S::KvCache::bytes(S::extent(d, o.context)), kept);
            if (const auto bytes = S::MaskState::bytes(d.kv_heads, S::mask_channels(d), o.context); bytes > 0) take("mask", bytes, kept);
        });
    const auto input = [&](std::int64_t columns) {  // rows of so many columns in the layers' weight formats
        return largest_over_layers<P>(
            [&](auto s) { return weights::traits<typename decltype(s)::Weights>::template input_bytes<typename P::Arch>(n, columns); });
    };
    using Head = weights::traits<typename P::Text::EmbeddingWeights>;
    floats("activations", n * d.hidden, activations);  // x
    take("activations", std::max({input(d.hidden), input(d.q_dim()), Head::template input_bytes<typename P::Arch>(1, d.hidden)}), activations);
    take("activations", input(d.ffn), activations);                        // inner
    floats("activations", n * (d.q_dim() + 2 * d.kv_dim()), activations);  // qkv
    floats("activations", n * d.heads * channels, activations);            // queries
    floats("activations", n * d.q_dim(), activations);                     // attended
    floats("activations", n * d.head_dim / 2, activations);                // cosines
    floats("activations", n * d.head_dim / 2, activations);                // sines
    floats("attention scratch", largest_over_layers<P>([&](auto s) {
               using S = decltype(s);
               return attention::layer_scratch_floats<typename S::Attention, typename S::KvCache>(threads, d.kv_heads, d.group(), channels, n, o.context);
           }),
           scratch);
    floats("activations", threads * text::row_floats(d), activations);  // rows
    floats("logits", d.vocab, logits);
}

/// Bytes of a session part by part, and of the workspace for the largest picture announced.
template <Dims D, class P>
MemoryPlan session_plan(const SessionOptions& o) {
    MemoryPlan plan;
    plan.disk = file_bytes<D, P>(o);
    const int threads = team_size<P>(o);
    for_each_session_block<D, P>(o, threads, [&](const char* part, std::int64_t bytes, const memory::Role&) {
        const auto known = std::find_if(plan.parts.begin(), plan.parts.end(), [&](const auto& p) { return p.name == part; });
        auto& sum = known != plan.parts.end() ? *known : plan.parts.emplace_back(MemoryPlan::Part{part, 0, false});
        sum.bytes += P::Memory::footprint(bytes);
    });
    if constexpr (VisionLanguageDims<D>) {
        const Grid g = o.largest_picture;
        if (g.patches() > 0) {
            const std::int64_t floats = vision::workspace_floats<typename P::Arch, TowerSlots<P>>(D::vision, g, threads) +
                                        g.patches() * D::vision.patch_values() + g.merged(D::vision.merge) * D::vision.out * (1 + D::vision.deepstack_count);
            plan.parts.push_back({"picture: patches, workspace and features", floats * static_cast<std::int64_t>(sizeof(float)), false});
        }
    }
    return plan;
}

}  // namespace detail
}  // namespace qwen3vl
