#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/testing/golden.hpp>
#include "prompts.hpp"

// Cross-attention with the parameters that were trained for the Shapes model, against the PyTorch module that they were
// trained in: tests/data/make_fusion.py --trained cross_outside.

using namespace qwen3vl_test;

namespace trained_fusion_test {

TEST_CASE("trained cross-attention equals the module that it was trained in") {
    using Outside = fusion::CrossAttention<fusion::pictures::Outside<>, fusion::CrossLayers{.every = 2, .first = 1},
                                           attention::Flash<mask::Full>, kv_cache::Float32>;
    using M = Model<models::Shapes, bundles::float32::with_fusion<Outside>>;
    const std::string shapes = test_models("/shapes");
    const auto model = M::load(shapes, {.parameters = {shapes + "/fusion/cross_outside.safetensors"}});
    const auto file = checkpoint::SafetensorsFile::open(
        test_data("/fusion/trained_cross_outside_cases/picture_and_clip.safetensors"));
    for (const int chunk : {0, 3})
        for (const auto& row : testing::check_golden_case(model, file, chunk, 2)) {
            INFO("chunks of " << chunk << ": " << row.tensor << " " << row.relative << " " << row.note);
            CHECK(row.pass);
        }
}

}  // namespace trained_fusion_test
