#pragma once
#include <qwen3vl/policies/bundles.hpp>

/// Bundles to choose from by memory and quality (advice.hpp). Each carries the text of its own type, so that what is
/// advised is what was measured.
namespace candidates {
namespace q = qwen3vl;

#define QWEN3VL_TEXT_OF(...) QWEN3VL_TEXT(__VA_ARGS__)
#define QWEN3VL_TEXT(...) #__VA_ARGS__
/// Weights of the decoder (choices of q::TextPolicies), of the tower, and the cache.
#define QWEN3VL_CANDIDATE(bundle, Decoder, Tower, Cache) \
    QWEN3VL_CANDIDATE_OF(bundle, QWEN3VL_POLICIES(Decoder, Tower, Cache))
#define QWEN3VL_POLICIES(Decoder, Tower, Cache)                                              \
    q::Policies<>::with_text<q::TextPolicies<>::Decoder::with_kv_cache<Cache>>::with_vision< \
        q::VisionPolicies<>::with_weights<Tower>>
#define QWEN3VL_CANDIDATE_OF(bundle, ...)                                 \
    struct bundle : __VA_ARGS__ {                                         \
        static constexpr const char* name = #bundle;                      \
        static constexpr const char* type = QWEN3VL_TEXT_OF(__VA_ARGS__); \
    }

#define QWEN3VL_BF16 with_weights<q::weights::Bf16>, q::weights::Bf16
#define QWEN3VL_INT8 with_weights<q::weights::Int8<>>, q::weights::Int8<>
#define QWEN3VL_INT4 \
    with_weights<q::weights::Int4<q::Group{64}>>::with_embedding_weights<q::weights::Int8<>>, q::weights::Int8<>
#define QWEN3VL_NF4 with_weights<q::weights::NF4<>>::with_embedding_weights<q::weights::Int8<>>, q::weights::Int8<>
#define QWEN3VL_STREAMED_BF16 \
    with_weights<q::weights::Streamed<q::weights::Bf16>>, q::weights::Streamed<q::weights::Bf16>
#define QWEN3VL_STREAMED_INT8 \
    with_weights<q::weights::Streamed<q::weights::Int8<>>>, q::weights::Streamed<q::weights::Int8<>>

/// One for each cache.
#define QWEN3VL_CANDIDATES_OF(format, FORMAT)                                                     \
    QWEN3VL_CANDIDATE_WITH(format##_kv_bf16, FORMAT, q::kv_cache::Contiguous<q::kv_cache::Bf16>); \
    QWEN3VL_CANDIDATE_WITH(format##_kv_int8, FORMAT, q::kv_cache::Contiguous<q::kv_cache::Int8>); \
    QWEN3VL_CANDIDATE_WITH(format##_kv_hybrid, FORMAT, q::kv_cache::Hybrid<>);                    \
    QWEN3VL_CANDIDATE_WITH(format##_kv_int4, FORMAT, q::kv_cache::Contiguous<q::kv_cache::Int4>)
#define QWEN3VL_CANDIDATE_WITH(bundle, ...) QWEN3VL_CANDIDATE(bundle, __VA_ARGS__)

QWEN3VL_CANDIDATES_OF(bf16, QWEN3VL_BF16);
QWEN3VL_CANDIDATES_OF(int8, QWEN3VL_INT8);
QWEN3VL_CANDIDATES_OF(int4, QWEN3VL_INT4);
QWEN3VL_CANDIDATES_OF(nf4, QWEN3VL_NF4);
QWEN3VL_CANDIDATE_WITH(streamed_bf16_kv_bf16, QWEN3VL_STREAMED_BF16, q::kv_cache::Contiguous<q::kv_cache::Bf16>);
QWEN3VL_CANDIDATE_WITH(streamed_bf16_kv_int8, QWEN3VL_STREAMED_BF16, q::kv_cache::Contiguous<q::kv_cache::Int8>);
QWEN3VL_CANDIDATE_WITH(streamed_int8_kv_int8, QWEN3VL_STREAMED_INT8, q::kv_cache::Contiguous<q::kv_cache::Int8>);
QWEN3VL_CANDIDATE_WITH(int8_kv_offloaded, QWEN3VL_INT8,
                       q::kv_cache::Offloaded<q::kv_cache::Contiguous<q::kv_cache::Int8>>);
QWEN3VL_CANDIDATE_WITH(int4_kv_offloaded, QWEN3VL_INT4,
                       q::kv_cache::Offloaded<q::kv_cache::Contiguous<q::kv_cache::Int8>>);

#undef QWEN3VL_TEXT_OF
#undef QWEN3VL_TEXT
#undef QWEN3VL_CANDIDATE
#undef QWEN3VL_POLICIES
#undef QWEN3VL_CANDIDATE_OF
#undef QWEN3VL_BF16
#undef QWEN3VL_INT8
#undef QWEN3VL_INT4
#undef QWEN3VL_NF4
#undef QWEN3VL_STREAMED_BF16
#undef QWEN3VL_STREAMED_INT8
#undef QWEN3VL_CANDIDATES_OF
#undef QWEN3VL_CANDIDATE_WITH

/// What is measured.
using in_memory = q::list<bf16_kv_bf16, bf16_kv_int8, bf16_kv_hybrid, bf16_kv_int4, int8_kv_bf16, int8_kv_int8,
                          int8_kv_hybrid, int8_kv_int4, int4_kv_bf16, int4_kv_int8, int4_kv_hybrid, int4_kv_int4,
                          nf4_kv_bf16, nf4_kv_int8, nf4_kv_hybrid, nf4_kv_int4>;

/// A candidate that gives the same bits as one in memory, and waits for a disk.
template <class Bundle, class Same>
struct OnDisk {
    using bundle = Bundle;
    using same = Same;
};
using on_disk = q::list<OnDisk<streamed_bf16_kv_bf16, bf16_kv_bf16>, OnDisk<streamed_bf16_kv_int8, bf16_kv_int8>,
                        OnDisk<streamed_int8_kv_int8, int8_kv_int8>, OnDisk<int8_kv_offloaded, int8_kv_int8>,
                        OnDisk<int4_kv_offloaded, int4_kv_int8>>;

}  // namespace candidates
