#pragma once
#include <qwen3vl/model/bundles.hpp>

/// Bundles that differ from float32 in one policy each, with windows and budgets of the size that the questions about Shapes call for: their prompts have 23
/// to 119 tokens, 40 in the middle, and a policy that sees more than half of them says nothing.
namespace catalogue {
namespace q = qwen3vl;

template <class... Choices>
using Text = q::Policies<q::Choice<q::slot::text, q::TextPolicies<q::Choice<q::slot::weights, q::weights::Float32>,
                                                                  q::Choice<q::slot::kv_cache, q::kv_cache::Contiguous<q::kv_cache::Float32>>, Choices...>>,
                         q::Choice<q::slot::vision, q::VisionPolicies<q::Choice<q::slot::weights, q::weights::Float32>>>>;
template <class Attention>
using Attending = Text<q::Choice<q::slot::attention, Attention>>;
template <class Cache>
using Caching = Text<q::Choice<q::slot::kv_cache, Cache>>;
template <class Position>
using Placing = Text<q::Choice<q::slot::position, Position>>;
using Base = q::position::MRopeInterleaved;

#define QWEN3VL_CATALOGUE_BUNDLE(bundle, ...)        \
    struct bundle : __VA_ARGS__ {                    \
        static constexpr const char* name = #bundle; \
    }

QWEN3VL_CATALOGUE_BUNDLE(dense_float32, Attending<q::attention::Dense<>>);
QWEN3VL_CATALOGUE_BUNDLE(chunked, Attending<q::attention::Chunked<>>);
QWEN3VL_CATALOGUE_BUNDLE(window_20, Attending<q::attention::Flash<q::mask::SlidingWindow<q::Window{.tokens = 16, .sinks = 4}>>>);
QWEN3VL_CATALOGUE_BUNDLE(blocks_20, Attending<q::attention::Flash<q::mask::BlockSparse<q::BlockPattern{.block = 2, .local = 5, .global = 2, .stride = 8}>>>);
QWEN3VL_CATALOGUE_BUNDLE(chosen_20, Attending<q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.block = 1, .keep = 14, .local = 4, .global = 2}>>>);
QWEN3VL_CATALOGUE_BUNDLE(chosen_pairs_20,
                         Attending<q::attention::Flash<q::mask::DynamicSparse<q::BlockBudget{.block = 2, .keep = 7, .local = 2, .global = 1}>>>);
QWEN3VL_CATALOGUE_BUNDLE(linear_256, Text<q::Choice<q::slot::attention, q::attention::Linear<>>, q::Choice<q::slot::kv_cache, q::kv_cache::Recurrent<>>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_bf16, Caching<q::kv_cache::Contiguous<q::kv_cache::Bf16>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_int8, Caching<q::kv_cache::Contiguous<q::kv_cache::Int8>>);
QWEN3VL_CATALOGUE_BUNDLE(kv_int4, Caching<q::kv_cache::Contiguous<q::kv_cache::Int4>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_16, Caching<q::kv_cache::LowRank<q::Rank{16}>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_16_int8, Caching<q::kv_cache::LowRank<q::Rank{16}, q::kv_cache::Contiguous<q::kv_cache::Int8>>>);
QWEN3VL_CATALOGUE_BUNDLE(low_rank_24_int8, Caching<q::kv_cache::LowRank<q::Rank{24}, q::kv_cache::Contiguous<q::kv_cache::Int8>>>);
QWEN3VL_CATALOGUE_BUNDLE(cross_layer, Caching<q::kv_cache::CrossLayer<q::kv_cache::Contiguous<q::kv_cache::Float32>>>);
QWEN3VL_CATALOGUE_BUNDLE(ntk_4, Placing<q::position::NTK<Base, q::Factor{4}>>);
QWEN3VL_CATALOGUE_BUNDLE(yarn_4, Placing<q::position::YaRN<Base, q::YarnOptions{.factor = 4}>>);
QWEN3VL_CATALOGUE_BUNDLE(approximate, Placing<q::position::Approximate<Base>>);

#undef QWEN3VL_CATALOGUE_BUNDLE

using all = q::list<dense_float32, chunked, window_20, blocks_20, chosen_20, chosen_pairs_20, linear_256, kv_bf16, kv_int8, kv_int4, low_rank_16,
                    low_rank_16_int8, low_rank_24_int8, cross_layer, ntk_4, yarn_4, approximate>;

}  // namespace catalogue
