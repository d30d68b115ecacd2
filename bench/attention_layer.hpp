#pragma once
#include <nlohmann/json.hpp>
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/attention/layer.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/testing/standalone_layer.hpp>
#include <type_traits>
#include "conversation.hpp"
#include "limits.hpp"

/// One layer's attention at the 2B's text extents, over a cache of its own: what bench_scaling times and bench_needle
/// asks.
namespace bench {

inline constexpr q::TextDims text = q::models::Qwen3VL_2B::text;
inline constexpr std::int64_t channels = q::kv_cache::padded_channels(text.head_dim);

/// Layers of the 2B with a cache of their own: some caches serve several.
template <class Cache>
constexpr std::int64_t caches() {
    std::int64_t n = 0;
    for (int layer = 0; layer < text.layers; ++layer) n += q::kv_cache::owner_of<Cache>(layer) == layer;
    return n;
}

/// Tokens that pass at once; a cache may allow fewer.
inline constexpr std::int64_t chunk_tokens = 512;

template <class Attention, class Cache>
class AttentionLayer {
    using Team = q::execution::Threads<>::Team;

  public:
    using Mask = typename Attention::mask;
    using MaskState = q::attention::MaskState<Mask>;

    /// With room for so many tokens.
    AttentionLayer(Team& team, std::int64_t kv_heads, std::int64_t tokens)
        : team_(team),
          extent_(extent(kv_heads, tokens)),
          memory_(q::memory::Arena::footprint(Cache::bytes(extent_)) +
                  q::memory::Arena::footprint(MaskState::bytes(kv_heads, stored, tokens))),
          types_(tokens),
          cache_(q::testing::standalone_layer<Cache>(memory_.take(Cache::bytes(extent_)), extent_, stage_keys(), {},
                                                     types_.types())),
          state_(MaskState::in(memory_.take(MaskState::bytes(kv_heads, stored, tokens)), kv_heads, stored, tokens,
                               q::parameters_of<Mask, float, std::vector<float>>{}, types_.types())),  // learns nothing
          scratch_(q::aligned_floats(static_cast<std::size_t>(scratch_bytes() / 4))) {}

    /// Bytes of a whole 2B's caches, and of what its masks keep beside them.
    static std::int64_t model_bytes(std::int64_t tokens) {
        const q::kv_cache::Extent e = extent(text.kv_heads, tokens);
        std::int64_t frames = 0;
        if constexpr (q::kv_cache::Offloads<Cache>)
            if (Cache::file_bytes(e) > 0)
                frames = q::kv_cache::TileStore::memory_bytes(Cache::frame_bytes(e, stage_keys()));
        const std::int64_t types = q::concepts::ModalityMask<Mask> ? q::TokenModalities::bytes(tokens) : 0;
        return caches<Cache>() * Cache::bytes(e) + frames + types +
               text.layers * MaskState::bytes(text.kv_heads, stored, tokens);
    }
    std::int64_t scratch_bytes() const {
        const std::int64_t chunk = std::min({chunk_tokens, extent_.tokens, largest_chunk()});
        return 4 * q::attention::layer_scratch_floats<Attention, Cache>(team_.threads(), extent_.kv_heads, text.group(),
                                                                        channels, chunk, extent_.tokens);
    }
    /// Tokens that may be written before the first of them is attended to.
    std::int64_t largest_chunk() const { return Cache::largest_chunk(extent_); }

    /// Stores the key and value of one head and token, rows of `channels` floats: head 0 first, tokens from first to
    /// last.
    void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
        if (kv_head == 0) q::kv_cache::reserve_tokens(cache_, token, 1);
        cache_.template write<Arch>(kv_head, token, key, value);
    }
    /// Takes in tokens [first, first + count), which were written, for queries of later ones: before any that attend()
    /// does not see.
    void take_in(std::int64_t first, std::int64_t count) {
        if constexpr (q::concepts::Recurrent<Attention> || q::kv_cache::Evicts<typename Cache::Layer>) {
            const std::vector<float> none(static_cast<std::size_t>(count * extent_.kv_heads * text.group() * channels));
            std::vector<float> out(none.size());
            attend(none.data(), first, count, out.data());
        } else {
            MaskState::update(state_, team_, first, count, q::kv_cache::later_tiles_of(cache_, first + count));
        }
    }
    /// Follows the writing of tokens [first, first + count) of every head.
    void sum_up(std::int64_t first, std::int64_t count) {
        MaskState::update(state_, team_, first, count, q::kv_cache::later_tiles_of(cache_, first + count));
    }
    /// out [count, kv_heads * group * channels] of tokens [first, first + count), the latest that were written; queries
    /// [kv_heads, count, group, channels].
    void attend(const float* queries, std::int64_t first, std::int64_t count, float* out) {
        const q::attention::Heads heads{
            queries,  count, extent_.kv_heads, text.group(), channels,
            channels, first, first + count,    out,          extent_.kv_heads * text.group() * channels};
        q::attention::attend_layer<Arch, Attention>(team_, heads, cache_, state_, scratch_.get());
    }

    auto& cache() { return cache_; }

  private:
    static constexpr std::int64_t stored =
        q::kv_cache::stored_channels<Cache>(channels);  ///< of the rows that the cache keeps
    static constexpr std::int64_t stage_keys() {
        if constexpr (q::attention::Splits<Attention>)
            return q::attention::stage_keys<Attention>;
        else
            return 0;
    }
    static q::kv_cache::Extent extent(std::int64_t kv_heads, std::int64_t tokens) {
        return {kv_heads, channels, tokens, Mask::span, Mask::sinks};
    }

    Team& team_;
    q::kv_cache::Extent extent_;
    q::memory::Arena memory_;
    Conversation types_;
    q::testing::StandaloneLayer<Cache> cache_;
    typename MaskState::type state_;
    q::AlignedFloats scratch_;
};

/// A row of the catalogue: a policy of one slot, with the algorithm and the cache that it is measured with; the tower
/// has no cache.
struct Policy {
    std::string slot, attention, mask, cache, codec;
    /// "attention/Flash/Causal", "kv_cache/Ring/int8", "vision/Flash/Full": what --filter sees.
    std::string name() const {
        return slot + "/" + (slot == "kv_cache" ? cache + "/" + codec : attention + "/" + mask);
    }
    nlohmann::ordered_json json() const {
        return {{"slot", slot}, {"attention", attention}, {"mask", mask}, {"cache", cache}, {"codec", codec}};
    }
};

/// f(policy, type_tag<AttentionLayer<…>>) for every algorithm under every causal mask, over a contiguous cache of
/// `Codec`, or over its own; and for every cache under Flash with the masks that it is for: Causal where it holds the
/// whole context, else those whose span it holds.
template <class Codec, class F>
void for_each_policy(F&& f) {
    const auto give = [&]<class Attention, class Cache>(const char* slot, q::type_tag<Attention>, q::type_tag<Cache>) {
        f(Policy{slot, Attention::name, Attention::mask::name, Cache::name, Cache::codec::name},
          q::type_tag<AttentionLayer<Attention, Cache>>{});
    };
    const auto for_each_mask = [](auto&& each) {
        q::for_each_type<
            q::concat_t<q::concat_t<q::mask::all, q::mask::typed>,
                        q::concat_t<q::concat_t<q::mask::tempered, q::mask::looking_ahead>, q::mask::stateful>>>(
            [&]<class M>(M mask) {
                if constexpr (M::type::causal) each(mask);
            });
    };
    for_each_mask([&]<class M>(M) {
        q::for_each_type<q::attention::all<typename M::type>>(
            [&](auto attention) { give("attention", attention, q::type_tag<q::kv_cache::Contiguous<Codec>>{}); });
    });
    give("attention", q::type_tag<q::attention::Linear<>>{}, q::type_tag<q::kv_cache::Recurrent<>>{});
    q::for_each_type<q::concat_t<q::concat_t<q::kv_cache::all, q::kv_cache::typed>,
                                 q::concat_t<q::kv_cache::evicting, q::kv_cache::with_parameters>>>(
        [&]<class C>(C cache) {
            for_each_mask([&]<class M>(M) {
                using Mask = typename M::type;
                constexpr std::int64_t capacity = C::type::capacity;
                constexpr bool held = capacity == 0 ? std::is_same_v<Mask, q::mask::Causal>
                                                    : Mask::span > 0 && Mask::span + Mask::sinks <= capacity;
                if constexpr (held) give("kv_cache", q::type_tag<q::attention::Flash<Mask>>{}, cache);
            });
        });
}

}  // namespace bench
