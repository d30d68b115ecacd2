#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include <set>
#include "catch.hpp"

using namespace qwen3vl;

namespace dims_test {

template <Dims D>
std::int64_t counted_parameters() {
    std::int64_t n = 0;
    for_each_parameter<D>([&](const std::string&, const Shape& shape) {
        std::int64_t elements = 1;
        for (const auto s : shape) elements *= s;
        n += elements;
    });
    return n;
}

/// A user's variant: a deeper Tiny with an untied head and no DeepStack.
struct DeepTiny : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.layers = 9;
        d.tied = false;
        return d;
    }();
    static constexpr VisionDims vision = [] {
        VisionDims d = models::Tiny::vision;
        d.deepstack_count = 0;
        return d;
    }();
};

TEMPLATE_LIST_TEST_CASE("parameter_count is the sum over the parameters", "",
                        testing::tuple_t<models::shipped_and_golden>) {
    using D = typename TestType::type;
    CAPTURE(D::name);
    static_assert(parameter_count<D>() > 0);
    CHECK(parameter_count<D>() == counted_parameters<D>());
}

TEMPLATE_LIST_TEST_CASE("parameters have names of their own", "", testing::tuple_t<models::shipped_and_golden>) {
    using D = typename TestType::type;
    std::set<std::string> names;
    for_each_parameter<D>([&](const std::string& name, const Shape&) { CHECK(names.insert(name).second); });
}

TEST_CASE("known parameter counts") {
    CHECK(parameter_count<models::Shapes>() == 3'937'856);
    CHECK(parameter_count<models::Qwen3VL_2B>() == 2'127'532'032);
}

TEST_CASE("the counts of the full-capacity form") {
    using D = models::Qwen3VL_32x32;
    CHECK(D::text.layers == 32);
    CHECK(D::text.heads == 32);
    CHECK(D::text.kv_heads == 32);
    CHECK(D::text.head_dim == 128);
    CHECK(D::text.group() == 1);
    CHECK(D::vision.depth == 27);
    CHECK(D::vision.head_dim() == 72);
}

TEST_CASE("a derived Dims changes what it names and what follows from it") {
    static_assert(VisionLanguageDims<DeepTiny> && !has_deepstack<DeepTiny>() && has_deepstack<models::Tiny>());
    CHECK(DeepTiny::tokens.image == models::Tiny::tokens.image);
    CHECK(DeepTiny::text.q_dim() == 6 * 32);
    CHECK(parameter_count<DeepTiny>() == counted_parameters<DeepTiny>());
    CHECK(parameter_count<DeepTiny>() != parameter_count<models::Tiny>());
}

TEST_CASE("a text-only Dims has no tower") {
    static_assert(Dims<models::Plain> && !VisionLanguageDims<models::Plain> && !has_deepstack<models::Plain>());
    static_assert(!models::Plain::text.multimodal_rope() && models::Tiny::text.multimodal_rope());
    for_each_parameter<models::Plain>(
        [](const std::string& name, const Shape&) { CHECK(name.find("visual") == std::string::npos); });
}

TEST_CASE("derived extents of the tower") {
    constexpr VisionDims v = models::Qwen3VL_2B::vision;
    CHECK(v.side() == 48);
    CHECK(v.patch_values() == 3 * 2 * 16 * 16);
    CHECK(v.merged() == 4096);
}

}  // namespace dims_test
