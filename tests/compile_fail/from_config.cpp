// expect: qwen3vl: config: use_multimodal_attention_optimization is false and another field is set
// expect: qwen3vl: config: use_sparse and use_sliding_window name two masks
// expect: qwen3vl: config: sparsity_ratio is the share of keys that use_sparse leaves out
// expect: qwen3vl: config: window_size is the length of use_sliding_window
// expect: qwen3vl: config: temperature divides scores
// expect: qwen3vl: config: temperature needs a mask that answers by itself
// expect: qwen3vl: config: lambda weighs a loss in training
// expect: qwen3vl: config: use_mqa_gqa follows from the checkpoint
// expect: qwen3vl: config: cross_modal_alignment_method has no trained projections
// expect: qwen3vl: config: use_paged and enable_adaptive_compression name two caches
// expect: qwen3vl: config: compression_ratio is how many times smaller
// expect: qwen3vl: config: enable_dynamic_fusion chooses by the picture
// expect: qwen3vl: config: enable_tensor_fusion stands beside a fusion without parameters
// expect: qwen3vl: config: tensor_fusion_method is set without enable_tensor_fusion
// expect: qwen3vl: config: quantization_bits are 8 or 4
// expect: qwen3vl: config: enable_lora, lora_rank and lora_alpha are an adapter's
// errors: 16
#include <qwen3vl/policies/from_config.hpp>

using namespace qwen3vl;
template <MultimodalConfig C>
constexpr bool given = !std::is_void_v<FromConfig<C>>;
static_assert(given<MultimodalConfig{.use_paged = true}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true,
                                     .sparsity_ratio = 0.5f,
                                     .window_size = 64,
                                     .use_sparse = true,
                                     .use_sliding_window = true}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .sparsity_ratio = 0.5f}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .use_sliding_window = true}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .temperature = 0}>);
static_assert(
    given<MultimodalConfig{
        .use_multimodal_attention_optimization = true, .sparsity_ratio = 0.5f, .temperature = 2, .use_sparse = true}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .lambda = 0.1f}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .use_mqa_gqa = false}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true,
                                     .cross_modal_alignment_method = CrossModalAlignment::contrastive}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true,
                                     .use_paged = true,
                                     .enable_adaptive_compression = true,
                                     .compression_ratio = 2}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .compression_ratio = 2}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .enable_dynamic_fusion = true}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true,
                                     .cross_modal_fusion_method = CrossModalFusion::cross_attention,
                                     .enable_tensor_fusion = true}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true,
                                     .tensor_fusion_method = fusion::TensorRank::tucker}>);
static_assert(given<MultimodalConfig{
                  .use_multimodal_attention_optimization = true, .enable_quantization = true, .quantization_bits = 3}>);
static_assert(given<MultimodalConfig{.use_multimodal_attention_optimization = true, .enable_lora = true}>);
