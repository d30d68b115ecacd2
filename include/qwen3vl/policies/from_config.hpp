#pragma once
#include <algorithm>
#include <qwen3vl/fusion/bilinear.hpp>
#include <qwen3vl/fusion/cross_attention.hpp>
#include <qwen3vl/fusion/dynamic.hpp>
#include <qwen3vl/fusion/gated.hpp>
#include <qwen3vl/policies/policies.hpp>

/// Bundles for people who come from a configuration file.
namespace qwen3vl::inline QWEN3VL_ABI {

/// Ways in which pictures join the decoder, as configuration files name them.
enum class CrossModalFusion {
    deepstack,        ///< visual tokens in the sequence, with DeepStack levels: the checkpoint's own
    cross_attention,  ///< gated cross-attention beside them
    gated             ///< vision-language gates by token
};
/// Ways in which text and pictures are aligned, as configuration files name them.
enum class CrossModalAlignment {
    none,        ///< the checkpoint's own
    contrastive  ///< trained projections into one space
};

/// The fields on multimodal attention of a configuration file, without their prefix `multimodal_attention_`. The
/// defaults are those of the stock model.
struct MultimodalConfig {
    bool use_multimodal_attention_optimization = false;  ///< true wherever another field is set
    float sparsity_ratio = 0;         ///< with use_sparse: keys left out of a prompt of 4096 tokens, as a share of them
    float temperature = 1;            ///< between text and pictures: their scores are divided by it
    float lambda = 0;                 ///< weight of a loss in training
    int window_size = 0;              ///< with use_sliding_window: tokens
    bool use_flash = true;            ///< false: attention::Dense
    bool use_sparse = false;          ///< blocks of keys chosen by each query
    bool use_sliding_window = false;  ///< the latest tokens and four sinks
    bool use_mqa_gqa = true;          ///< query heads share key/value heads as the Dims say
    bool use_paged = false;           ///< pages that sequences share
    CrossModalFusion cross_modal_fusion_method = CrossModalFusion::deepstack;      ///< how pictures join the decoder
    CrossModalAlignment cross_modal_alignment_method = CrossModalAlignment::none;  ///< how both are aligned
    bool enable_dynamic_fusion = false;                                ///< a fuller fusion for some pictures
    bool enable_adaptive_compression = false;                          ///< fewer bits for keys and values of pictures
    float compression_ratio = 1;                                       ///< with it: how many times smaller the cache is
    bool enable_tensor_fusion = false;                                 ///< joins text rows and pooled pictures
    fusion::TensorRank tensor_fusion_method = fusion::TensorRank::cp;  ///< decomposition of the tensor
    bool enable_quantization = false;                                  ///< weights and cache in fewer bits
    int quantization_bits = 8;                                         ///< with it: 8 or 4
    bool enable_lora = false;                                          ///< an adapter of low rank
    int lora_rank = 0;                                                 ///< its rank
    float lora_alpha = 0;                                              ///< its scale
    /// True if all fields are the same.
    bool operator==(const MultimodalConfig&) const = default;
};

namespace detail {

/// Refuses what no bundle can be: one message for each field.
template <MultimodalConfig C>
consteval bool check_config() {
    constexpr MultimodalConfig stock{};
    constexpr bool on = C.use_multimodal_attention_optimization || C == stock;
    static_assert(on,
                  "qwen3vl: config: use_multimodal_attention_optimization is false and another field is set; set it to "
                  "true, or leave all fields out");
    constexpr bool one_mask = !(C.use_sparse && C.use_sliding_window);
    static_assert(one_mask,
                  "qwen3vl: config: use_sparse and use_sliding_window name two masks; choose one, or a plan by layers: "
                  "with_attention<Layers<Pattern<attention::Flash<…>, attention::Flash<…>>>>");
    constexpr bool sparsity = C.use_sparse ? C.sparsity_ratio > 0 && C.sparsity_ratio < 1 : C.sparsity_ratio == 0;
    static_assert(sparsity,
                  "qwen3vl: config: sparsity_ratio is the share of keys that use_sparse leaves out; give both, and a "
                  "ratio between 0 and 1");
    constexpr bool window = C.use_sliding_window ? C.window_size > 0 : C.window_size == 0;
    static_assert(window,
                  "qwen3vl: config: window_size is the length of use_sliding_window; give both, and a length above 0");
    constexpr bool positive = C.temperature > 0;
    static_assert(positive, "qwen3vl: config: temperature divides scores; give one above 0, or 1 for none");
    constexpr bool tempered = C.temperature == 1 || !C.use_sparse;
    static_assert(tempered,
                  "qwen3vl: config: temperature needs a mask that answers by itself, and use_sparse chooses by the "
                  "keys; use one of them, or mask::Tempered over mask::BlockSparse");
    constexpr bool untrained = C.lambda == 0;
    static_assert(untrained,
                  "qwen3vl: config: lambda weighs a loss in training, which no policy of a loaded model has; leave it "
                  "0, and give it to the training script");
    constexpr bool grouped = C.use_mqa_gqa;
    static_assert(grouped,
                  "qwen3vl: config: use_mqa_gqa follows from the checkpoint, whose Dims say how many query heads share "
                  "a key/value head; leave it true, and write Dims with text.kv_heads = text.heads where none do");
    constexpr bool unaligned = C.cross_modal_alignment_method == CrossModalAlignment::none;
    static_assert(
        unaligned,
        "qwen3vl: config: cross_modal_alignment_method has no trained projections in a checkpoint; train some, "
        "and choose Policies<>::with_alignment<alignment::Projected<Rank{64}>>");
    constexpr bool one_cache = !(C.use_paged && C.enable_adaptive_compression);
    static_assert(one_cache,
                  "qwen3vl: config: use_paged and enable_adaptive_compression name two caches; choose "
                  "kv_cache::Paged<kv_cache::Int8> or kv_cache::ByModality<…>");
    constexpr bool ratio = C.enable_adaptive_compression ? C.compression_ratio >= 1 : C.compression_ratio == 1;
    static_assert(ratio,
                  "qwen3vl: config: compression_ratio is how many times smaller enable_adaptive_compression makes the "
                  "cache; give both, and a ratio from 1");
    constexpr bool static_fusion =
        !C.enable_dynamic_fusion || C.cross_modal_fusion_method == CrossModalFusion::cross_attention;
    static_assert(static_fusion,
                  "qwen3vl: config: enable_dynamic_fusion chooses by the picture whether cross-attention stands beside "
                  "DeepStack; give cross_modal_fusion_method = CrossModalFusion::cross_attention, or write "
                  "fusion::Dynamic<…>");
    constexpr bool joined =
        !(C.enable_tensor_fusion && C.cross_modal_fusion_method == CrossModalFusion::cross_attention);
    static_assert(joined,
                  "qwen3vl: config: enable_tensor_fusion stands beside a fusion without parameters, and "
                  "cross_modal_fusion_method = cross_attention has some; choose one of them");
    constexpr bool tensor = C.enable_tensor_fusion || C.tensor_fusion_method == stock.tensor_fusion_method;
    static_assert(tensor, "qwen3vl: config: tensor_fusion_method is set without enable_tensor_fusion; give both");
    constexpr bool bits = C.enable_quantization ? C.quantization_bits == 8 || C.quantization_bits == 4
                                                : C.quantization_bits == stock.quantization_bits;
    static_assert(
        bits,
        "qwen3vl: config: quantization_bits are 8 or 4, with enable_quantization; other formats are policies: "
        "with_weights<weights::NF4<>>, Bf16, F16, Float32");
    constexpr bool merged = !C.enable_lora && C.lora_rank == 0 && C.lora_alpha == 0;
    static_assert(merged,
                  "qwen3vl: config: enable_lora, lora_rank and lora_alpha are an adapter's, which is no part of a "
                  "bundle; merge it into the checkpoint before it is loaded");
    return on && one_mask && sparsity && window && positive && tempered && untrained && grouped && unaligned &&
           one_cache && ratio && static_fusion && joined && tensor && bits && merged;
}

/// The policies that a configuration's fields name.
template <MultimodalConfig C>
struct Configured {
    /// Blocks of 64 keys that a query chooses, beside three that it always sees, of the 64 of 4096 tokens.
    static constexpr int keep =
        std::max(0, static_cast<int>((1 - static_cast<double>(C.sparsity_ratio)) * 64 + 0.5) - 3);
    static constexpr bool int8 = C.enable_quantization && C.quantization_bits == 8,
                          int4 = C.enable_quantization && !int8;

    using Codec = std::conditional_t<C.enable_quantization, kv_cache::Int8, kv_cache::Bf16>;
    using Cache = std::conditional_t<
        C.use_paged, kv_cache::Paged<Codec>,
        std::conditional_t<
            C.enable_adaptive_compression,
            kv_cache::ByModality<Codec, kv_cache::Int4, Compression{.ratio = static_cast<double>(C.compression_ratio)}>,
            kv_cache::Contiguous<Codec>>>;
    using Keys = std::conditional_t<
        C.use_sliding_window, mask::SlidingWindow<Window{.tokens = std::max(1, C.window_size), .sinks = 4}>,
        std::conditional_t<C.use_sparse, mask::DynamicSparse<BlockBudget{.keep = keep}>, mask::Causal>>;
    using Mask =
        mask::Tempered<Temperatures{.language_to_vision = C.temperature, .vision_to_language = C.temperature}, Keys>;
    using Attention = std::conditional_t<C.use_flash, attention::Flash<Mask>, attention::Dense<Mask>>;
    using Weights =
        std::conditional_t<int8, weights::Int8<>, std::conditional_t<int4, weights::Int4<Group{64}>, weights::Bf16>>;
    using Others = std::conditional_t<C.enable_quantization, weights::Int8<>, weights::Bf16>;
    using Crossing =
        std::conditional_t<C.enable_dynamic_fusion, fusion::Dynamic<fusion::DeepStack, fusion::CrossAttention<>>,
                           fusion::CrossAttention<>>;
    using Joined =
        std::conditional_t<C.enable_tensor_fusion, fusion::Bilinear<Rank{32}, C.tensor_fusion_method>,
                           std::conditional_t<C.cross_modal_fusion_method == CrossModalFusion::cross_attention,
                                              Crossing, fusion::DeepStack>>;
    using Fusion =
        std::conditional_t<C.cross_modal_fusion_method == CrossModalFusion::gated, fusion::Gated<Joined>, Joined>;

    using type = Policies<
        Choice<slot::text, TextPolicies<Choice<slot::attention, Attention>, Choice<slot::kv_cache, Cache>,
                                        Choice<slot::weights, Weights>, Choice<slot::embedding_weights, Others>>>,
        Choice<slot::vision, VisionPolicies<Choice<slot::weights, Others>>>, Choice<slot::fusion, Fusion>>;
};
/// The stock bundle: of the defaults, and in the place of one that was refused.
template <MultimodalConfig C>
requires(C == MultimodalConfig{} || !check_config<C>()) struct Configured<C> {
    using type = Policies<>;
};

}  // namespace detail

/// The bundle that a configuration's fields name; the defaults are the stock bundle, Policies<>. Each field gives a
/// policy or an option of one, or is refused in words that say which type to use: include/qwen3vl/README.md has the
/// table.
///     using Model = q::Model<q::models::Qwen3VL_2B, q::FromConfig<q::MultimodalConfig{
///         .use_multimodal_attention_optimization = true, .use_paged = true, .enable_quantization = true}>>;
template <MultimodalConfig C>
using FromConfig = typename detail::Configured<C>::type;

}  // namespace qwen3vl
