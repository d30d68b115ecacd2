#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/policies/check.hpp>
#include <qwen3vl/policies/from_config.hpp>
#include <qwen3vl/testing/models.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace from_config_test {

template <class Found, class Expected>
void check() {
    STATIC_REQUIRE(std::is_same_v<SlotsOf<Found>, SlotsOf<Expected>>);
    STATIC_REQUIRE(detail::check<models::Tiny, Found>());
}

TEST_CASE("each row of the documented table names its bundle"){
#include "from_config_rows.hpp"
}

TEST_CASE("the defaults are the stock bundle") {
    STATIC_REQUIRE(std::is_same_v<FromConfig<MultimodalConfig{}>, Policies<>>);
    STATIC_REQUIRE(std::is_same_v<SlotsOf<FromConfig<MultimodalConfig{.use_multimodal_attention_optimization = true}>>,
                                  SlotsOf<Policies<>>>);
}

TEST_CASE("fields go together") {
    using Found = FromConfig<MultimodalConfig{.use_multimodal_attention_optimization = true,
                                              .temperature = 2,
                                              .window_size = 512,
                                              .use_sliding_window = true,
                                              .use_paged = true,
                                              .cross_modal_fusion_method = CrossModalFusion::gated,
                                              .enable_tensor_fusion = true,
                                              .tensor_fusion_method = fusion::TensorRank::tucker,
                                              .enable_quantization = true,
                                              .quantization_bits = 4}>;
    using Mask = mask::Tempered<Temperatures{.language_to_vision = 2, .vision_to_language = 2},
                                mask::SlidingWindow<Window{.tokens = 512, .sinks = 4}>>;
    using Text =
        TextPolicies<>::with_attention<attention::Flash<Mask>>::with_kv_cache<kv_cache::Paged<kv_cache::Int8>>::
            with_weights<weights::Int4<Group{64}>>::with_embedding_weights<weights::Int8<>>;
    check<Found, Policies<>::with_text<Text>::with_vision<VisionPolicies<>::with_weights<weights::Int8<>>>::with_fusion<
                     fusion::Gated<fusion::Bilinear<Rank{32}, fusion::TensorRank::tucker>>>>();
}

}  // namespace from_config_test
