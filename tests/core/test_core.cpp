#include <limits>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/arch.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/features.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/core/tensor.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace core_test {
struct Future {
    static constexpr const char* name = "avx2048";
    static bool supported() { return false; }
};

TEST_CASE("the version is one number and its parts") {
    CHECK(QWEN3VL_VERSION == QWEN3VL_VERSION_MAJOR * 10000 + QWEN3VL_VERSION_MINOR * 100 + QWEN3VL_VERSION_PATCH);
    CHECK(QWEN3VL_VERSION > 0);
}

TEST_CASE("checked arithmetic tells what does not fit") {
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    CHECK(checked_mul(1u << 31, 1u << 31) == std::uint64_t{1} << 62);
    CHECK(checked_mul(most, 1) == most);
    CHECK(!checked_mul(most, 2));
    CHECK(!checked_mul(std::uint64_t{1} << 32, std::uint64_t{1} << 32));
    CHECK(checked_mul(most, 0) == 0u);
    CHECK(checked_add(most, 0) == most);
    CHECK(!checked_add(most, 1));
    CHECK(!checked_add(most, most));
}

TEST_CASE("rounding up") {
    static_assert(round_up(0, 16) == 0 && round_up(1, 16) == 16 && round_up(16, 16) == 16 && round_up(17, 16) == 32);
    static_assert(ceil_div(0, 3) == 0 && ceil_div(1, 3) == 1 && ceil_div(3, 3) == 1 && ceil_div(4, 3) == 2);
}

TEST_CASE("dtypes have the sizes and names of safetensors") {
    CHECK(dtype_bytes(DType::bf16) == 2);
    CHECK(dtype_bytes(DType::f32) == 4);
    CHECK(dtype_bytes(DType::i64) == 8);
    CHECK(dtype_bytes(DType::boolean) == 1);
    CHECK(dtype_bytes(DType::f8_e4m3) == 1);
    CHECK(dtype_name(DType::f32) == "F32");
    CHECK(dtype_name(DType::f8_e5m2) == "F8_E5M2");
    CHECK(dtype_name(DType::u64) == "U64");
    CHECK(shape_text({3, 4}) == "[3, 4]");
    CHECK(shape_text({}) == "[]");
    const TensorView view{DType::f16, {2, 3}, nullptr, ""};
    CHECK(view.elements() == 6);
    CHECK(view.bytes() == 12);
}

TEST_CASE("matrices are rows at a stride") {
    float data[12];
    for (int i = 0; i < 12; ++i) data[i] = static_cast<float>(i);
    const Matrix m(data, 3, 2, 4);
    CHECK(*m.row(2) == 8.0f);
    CHECK(m.first(1).rows == 1);
    const ConstMatrix c = m;
    CHECK(c.row(1) == data + 4);
}

TEST_CASE("grids count patches and merged tokens") {
    const Grid g{2, 6, 4};
    CHECK(g.patches() == 48);
    CHECK(g.merged(2) == 12);
    const VisualFeatures f{.grid = g, .merge = 2, .width = 8, .embedding = {}, .deepstack = {{}, {}}};
    CHECK(f.tokens() == 12);
    CHECK(f.span_tokens() == 6);
    CHECK(f.bytes() == 4 * 12 * 8 * 3);
}

TEST_CASE("reports reach the callback, and its no becomes Cancelled") {
    CHECK_NOTHROW(report({}, "load", 1, 2));
    std::int64_t seen = 0;
    report(
        [&](const Progress& p) {
            seen = p.done;
            return true;
        },
        "load", 3, 4);
    CHECK(seen == 3);
    CHECK_THROWS_WITH(report([](const Progress&) { return false; }, "prefill", 3, 4),
                      "cancelled during prefill after 3 of 4");
    CHECK_THROWS_AS(report([](const Progress&) { return false; }, "prefill", 3, 4), Cancelled);
}

TEST_CASE("errors have one base and say what was expected") {
    const ConfigError config("config.json", "hidden_size", "2048", "1024");
    CHECK(std::string(config.what()) == "config.json: field 'hidden_size': expected 2048, found 1024");
    const LoadError load("a.safetensors", "w", "[2]", "[3]");
    CHECK(std::string(load.what()) == "a.safetensors: tensor 'w': expected [2], found [3]");
    CHECK_THROWS_AS([&] { throw load; }(), Error);
    CHECK_THROWS_AS([&] { throw config; }(), std::runtime_error);
}

TEST_CASE("aligned floats stand on a cache line") {
    for (std::size_t n : {0u, 1u, 100u}) CHECK(reinterpret_cast<std::uintptr_t>(aligned_floats(n).get()) % 64 == 0);
}

TEST_CASE("the native target is compiled and this CPU has it") {
    static_assert(arch::native::compiled && arch::check_compiled<arch::native>());
    CHECK_NOTHROW(arch::require_supported<arch::native>());
    CHECK_THROWS_AS(arch::require_supported<Future>(), UnsupportedCpu);
    CHECK_THROWS_WITH(arch::require_supported<Future>(), Catch::Contains("avx2048"));
}

}  // namespace core_test
