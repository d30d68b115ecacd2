#pragma once
#include <qwen3vl/policies/policies.hpp>

/// The shipped bundles, by the names that the tools' --bundle takes.
namespace qwen3vl::inline QWEN3VL_ABI::bundles {

namespace detail {
template <class Format, class Codec, template <class> class Attention = attention::Flash>
struct uniform {
    using text = TextPolicies<Choice<slot::weights, Format>, Choice<slot::kv_cache, kv_cache::Contiguous<Codec>>,
                              Choice<slot::attention, Attention<mask::Causal>>>;
    using vision = VisionPolicies<Choice<slot::weights, Format>, Choice<slot::attention, Attention<mask::Full>>>;
    using type = Policies<Choice<slot::text, text>, Choice<slot::vision, vision>>;
};
template <class Format>
struct four_bits {
    using text = TextPolicies<Choice<slot::weights, Format>, Choice<slot::embedding_weights, weights::Int8<>>,
                              Choice<slot::kv_cache, kv_cache::Contiguous<kv_cache::Int8>>>;
    using vision = VisionPolicies<Choice<slot::weights, weights::Int8<>>>;
    using type = Policies<Choice<slot::text, text>, Choice<slot::vision, vision>>;
};
}  // namespace detail

/// Exact: float32 weights, cache and arithmetic. What the golden data is compared with.
struct float32 : detail::uniform<weights::Float32, kv_cache::Float32>::type {
    static constexpr const char* name = "float32";
};

/// The defaults: bf16 weights as released, bf16 cache, float32 arithmetic.
struct bf16 : detail::uniform<weights::Bf16, kv_cache::Bf16>::type {
    static constexpr const char* name = "bf16";
};

/// binary16 weights, bf16 cache.
struct f16 : detail::uniform<weights::F16, kv_cache::Bf16>::type {
    static constexpr const char* name = "f16";
};

/// 8-bit weights and cache throughout.
struct int8 : detail::uniform<weights::Int8<>, kv_cache::Int8>::type {
    static constexpr const char* name = "int8";
};

/// 4-bit decoder layers; embedding, head, tower and cache in 8 bits.
struct int4 : detail::four_bits<weights::Int4<Group{64}>>::type {
    static constexpr const char* name = "int4";
};

/// 4-bit NormalFloat decoder layers; embedding, head, tower and cache in 8 bits.
struct nf4 : detail::four_bits<weights::NF4<>>::type {
    static constexpr const char* name = "nf4";
};

/// bf16 weights used where the checkpoint is mapped: nothing is copied, at the price of slower prompts and pictures.
struct mapped : detail::uniform<weights::Mapped<weights::Bf16>, kv_cache::Bf16>::type {
    static constexpr const char* name = "mapped";
};

/// float32 with Dense attention: the plain baseline.
struct dense : detail::uniform<weights::Float32, kv_cache::Float32, attention::Dense>::type {
    static constexpr const char* name = "dense";
};

/// bf16 weights over a ring: a window of 1024 tokens and 4 sinks, in memory that does not grow with the context.
struct window
    : Policies<Choice<slot::text, TextPolicies<>::with_attention<
                                      attention::Flash<mask::SlidingWindow<Window{.tokens = 1024, .sinks = 4}>>>::
                                      with_kv_cache<kv_cache::Ring<Tokens{1536}, kv_cache::Bf16>>>> {
    static constexpr const char* name = "window";
};

/// Every shipped bundle: feeds the tests and the tools.
using all = list<float32, bf16, f16, int8, int4, nf4, mapped, dense, window>;

}  // namespace qwen3vl::bundles
