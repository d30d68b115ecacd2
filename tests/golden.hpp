#pragma once
#include <filesystem>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/testing/golden.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/orthonormal.hpp>
#include "catch.hpp"

namespace qwen3vl_test {

using namespace qwen3vl;

/// A checkpoint, and random directions for policies that ask for tables of such.
struct GoldenSource {
    checkpoint::Checkpoint& checkpoint;
    std::vector<std::vector<float>> tables = {};

    TensorView take(const std::string& name, const Shape& shape) {
        if (name.find("kv_cache.") == name.npos) return checkpoint.take(name, shape);
        REQUIRE((shape.size() == 3 && shape[1] == shape[2]));
        tables.push_back(testing::orthonormal(shape[0], shape[1], tables.size()));
        return {DType::f32, shape, reinterpret_cast<const std::byte*>(tables.back().data()), {}};
    }
};

/// Every case of a folder against a checkpoint, for chunks of 1 and 7 tokens and whole.
template <class D, class Bundle>
void check_golden_folder(const std::string& name, int expected_cases) {
    const auto checkpoint =
        std::make_shared<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(test_data("/") + name));
    GoldenSource source{*checkpoint};
    const Model<D, Bundle> model(source, checkpoint, nullptr, {});
    CHECK(checkpoint->unused().empty());
    int cases = 0;
    for (const auto& entry : std::filesystem::directory_iterator(test_data("/") + name + "_cases")) {
        const auto file = checkpoint::SafetensorsFile::open(entry.path().string());
        ++cases;
        for (int chunk : {1, 7, 0}) {
            const auto rows = testing::check_golden_case(model, file, chunk, 2);
            CHECK(rows.size() >= 5);
            for (const auto& row : rows) {
                CAPTURE(entry.path().filename().string(), chunk, row.tensor, row.relative, row.note);
                CHECK(row.pass);
            }
        }
    }
    CHECK(cases == expected_cases);
}

}  // namespace qwen3vl_test
