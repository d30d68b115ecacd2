#pragma once
#include <qwen3vl/policies/bundles.hpp>

/// Bundles that differ from float32 in one policy each. Windows and budgets show at most half of what there is, or the
/// figure says nothing: prompts about Shapes have 23 to 119 tokens, 40 in the middle; its pictures have 6 to 12 patches
/// a side; texts are read in windows of 2048 tokens.
namespace catalogue {
namespace q = qwen3vl;

template <class... Choices>
using Text = q::Policies<
    q::Choice<q::slot::text,
              q::TextPolicies<q::Choice<q::slot::weights, q::weights::Float32>,
                              q::Choice<q::slot::kv_cache, q::kv_cache::Contiguous<q::kv_cache::Float32>>, Choices...>>,
    q::Choice<q::slot::vision, q::VisionPolicies<q::Choice<q::slot::weights, q::weights::Float32>>>>;
template <class Attention>
using Attending = Text<q::Choice<q::slot::attention, Attention>>;
template <class Cache>
using Caching = Text<q::Choice<q::slot::kv_cache, Cache>>;
template <class Attention>
using Looking = Text<>::with_vision<
    q::VisionPolicies<q::Choice<q::slot::weights, q::weights::Float32>, q::Choice<q::slot::attention, Attention>>>;
template <class Position>
using Placing = Text<q::Choice<q::slot::position, Position>>;
using Base = q::position::MRopeInterleaved;

#define QWEN3VL_CATALOGUE_BUNDLE(bundle, ...)        \
    struct bundle : __VA_ARGS__ {                    \
        static constexpr const char* name = #bundle; \
    }

QWEN3VL_CATALOGUE_BUNDLE(dense_float32, Attending<q::attention::Dense<>>);
QWEN3VL_CATALOGUE_BUNDLE(chunked, Attending<q::attention::Chunked<>>);
QWEN3VL_CATALOGUE_BUNDLE(window_20,
                         Attending<q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 16, .sinks = 4}>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    blocks_20,
    Attending<
        q::attention::Flash<q::mask::BlockSparse<q::BlockPattern{.block = 2, .local = 5, .global = 2, .stride = 8}>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    chosen_20,
    Attending<
        q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.block = 1, .keep = 14, .local = 4, .global = 2}>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    chosen_pairs_20,
    Attending<
        q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.block = 2, .keep = 7, .local = 2, .global = 1}>>>);
QWEN3VL_CATALOGUE_BUNDLE(vision_within, Attending<q::attention::VisionWithin>);
QWEN3VL_CATALOGUE_BUNDLE(global_every, Attending<q::attention::GlobalEvery<>>);
QWEN3VL_CATALOGUE_BUNDLE(within_modality, Attending<q::attention::GlobalEvery<q::attention::WithinModality>>);
QWEN3VL_CATALOGUE_BUNDLE(
    tempered_0_8, Attending<q::attention::Flash<q::mask::Tempered<q::Temperatures{.language_to_vision = 0.8f}>>>);
QWEN3VL_CATALOGUE_BUNDLE(both_ways, Attending<q::attention::Flash<q::mask::BidirectionalPictures<>>>);
QWEN3VL_CATALOGUE_BUNDLE(linear_256, Text<q::Choice<q::slot::attention, q::attention::Linear<>>,
                                          q::Choice<q::slot::kv_cache, q::kv_cache::Recurrent<>>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_bf16, Caching<q::kv_cache::Contiguous<q::kv_cache::Bf16>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_int8, Caching<q::kv_cache::Contiguous<q::kv_cache::Int8>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_int4, Caching<q::kv_cache::Contiguous<q::kv_cache::Int4>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_bf16_int4, Caching<q::kv_cache::ByModality<q::kv_cache::Bf16, q::kv_cache::Int4>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_16, Caching<q::kv_cache::LowRank<q::Rank{16}>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_16_int8,
                         Caching<q::kv_cache::LowRank<q::Rank{16}, q::kv_cache::Contiguous<q::kv_cache::Int8>>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_24_int8,
                         Caching<q::kv_cache::LowRank<q::Rank{24}, q::kv_cache::Contiguous<q::kv_cache::Int8>>>);
QWEN3VL_CATALOGUE_BUNDLE(cross_layer, Caching<q::kv_cache::CrossLayer<q::kv_cache::Contiguous<q::kv_cache::Float32>>>);
QWEN3VL_CATALOGUE_BUNDLE(ntk_4, Placing<q::position::NTK<Base, q::Factor{4}>>);
QWEN3VL_CATALOGUE_BUNDLE(yarn_4, Placing<q::position::YaRN<Base, q::YarnOptions{.factor = 4}>>);
QWEN3VL_CATALOGUE_BUNDLE(approximate, Placing<q::position::Approximate<Base>>);
/// The tower has five blocks.
using PatchWindows = q::attention::Flash<q::mask::GridWindow<q::PatchWindow{.rows = 4, .cols = 4}>>;
QWEN3VL_CATALOGUE_BUNDLE(patch_windows_4,
                         Looking<q::Layers<q::Pattern<PatchWindows, PatchWindows, PatchWindows, PatchWindows,
                                                      q::attention::Flash<q::mask::Full>>>>);

QWEN3VL_CATALOGUE_BUNDLE(window_1000,
                         Attending<q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 992, .sinks = 8}>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    blocks_1000,
    Attending<
        q::attention::Flash<q::mask::BlockSparse<q::BlockPattern{.block = 64, .local = 9, .global = 1, .stride = 4}>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    chosen_1000,
    Attending<
        q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.block = 64, .keep = 12, .local = 2, .global = 1}>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    chosen_16_1000,
    Attending<
        q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.block = 16, .keep = 48, .local = 8, .global = 4}>>>);
QWEN3VL_CATALOGUE_BUNDLE(hybrid_64, Caching<q::kv_cache::Hybrid<q::Tokens{64}>>);
QWEN3VL_CATALOGUE_BUNDLE(heavy_hitters_1024, Caching<q::kv_cache::Evicting<q::Tokens{1024}>>);
QWEN3VL_CATALOGUE_BUNDLE(latest_queries_1024,
                         Caching<q::kv_cache::Evicting<q::Tokens{1024}, q::kv_cache::LatestQueries<>>>);
QWEN3VL_CATALOGUE_BUNDLE(age_1024, Caching<q::kv_cache::Evicting<q::Tokens{1024}, q::kv_cache::Age>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_32, Caching<q::kv_cache::LowRank<q::Rank{32}>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_48_int8,
                         Caching<q::kv_cache::LowRank<q::Rank{48}, q::kv_cache::Contiguous<q::kv_cache::Int8>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    low_rank_past_32,
    Caching<q::kv_cache::LowRank<q::Rank{64},
                                 q::kv_cache::Hybrid<q::Tokens{64}, q::kv_cache::Bf16,
                                                     q::kv_cache::TruncatedRank<q::Rank{32}, q::kv_cache::Int8>>>>);
QWEN3VL_CATALOGUE_BUNDLE(
    low_rank_past_48,
    Caching<q::kv_cache::LowRank<q::Rank{64},
                                 q::kv_cache::Hybrid<q::Tokens{64}, q::kv_cache::Bf16,
                                                     q::kv_cache::TruncatedRank<q::Rank{48}, q::kv_cache::Int8>>>>);

#undef QWEN3VL_CATALOGUE_BUNDLE

/// For questions about Shapes.
using questions =
    q::list<dense_float32, chunked, window_20, blocks_20, chosen_20, chosen_pairs_20, vision_within, global_every,
            within_modality, tempered_0_8, both_ways, linear_256, kv_bf16, kv_int8, kv_int4, kv_bf16_int4, low_rank_16,
            low_rank_16_int8, low_rank_24_int8, cross_layer, ntk_4, yarn_4, approximate, patch_windows_4>;
/// For texts of 2048 tokens and a text model with head_dim 64.
using texts = q::list<window_1000, blocks_1000, chosen_1000, chosen_16_1000, linear_256, kv_bf16, kv_int8, kv_int4,
                      hybrid_64, heavy_hitters_1024, latest_queries_1024, age_1024, low_rank_32, low_rank_48_int8,
                      low_rank_past_32, low_rank_past_48>;

}  // namespace catalogue
