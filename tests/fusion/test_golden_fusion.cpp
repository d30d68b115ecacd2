#include <filesystem>
#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/testing/golden.hpp>
#include "prompts.hpp"

// The fusion policies with random weights against PyTorch modules beside the reference: tests/data/make_fusion.py.

using namespace qwen3vl_test;

namespace golden_fusion_test {

constexpr fusion::CrossLayers plan{.every = 2, .first = 1};
template <class Pictures>
using Crossing = fusion::CrossAttention<Pictures, plan, attention::Flash<mask::Full>, kv_cache::Float32>;
using Inside = Crossing<fusion::pictures::Inside<>>;

template <class Fusion>
void check_form(const std::string& form) {
    using M = Model<models::Tiny, bundles::float32::with_fusion<Fusion>>;
    const auto model = M::load(test_data("/tiny"), {.parameters = {test_data("/fusion/") + form + ".safetensors"}});
    int cases = 0;
    for (const auto& entry : std::filesystem::directory_iterator(test_data("/fusion/") + form + "_cases")) {
        const auto file = checkpoint::SafetensorsFile::open(entry.path().string());
        ++cases;
        for (const int chunk : {0, 1, 5})
            for (const auto& row : testing::check_golden_case(model, file, chunk, 2)) {
                INFO(form << ", chunks of " << chunk << ": " << row.tensor << " " << row.relative << " " << row.note);
                CHECK(row.pass);
            }
    }
    CHECK(cases > 0);
}

TEST_CASE("fusion policies equal the reference's modules in a whole model") {
    check_form<Inside>("cross_inside");
    check_form<Crossing<fusion::pictures::Outside<>>>("cross_outside");
    check_form<fusion::Gated<Inside>>("gated_cross");
    check_form<fusion::Gated<fusion::DeepStack>>("gated_deepstack");
    check_form<fusion::Bilinear<Rank{12}, fusion::TensorRank::cp, plan>>("bilinear");
    check_form<fusion::Bilinear<Rank{12}, fusion::TensorRank::tucker, plan>>("tucker");
}

}  // namespace golden_fusion_test
