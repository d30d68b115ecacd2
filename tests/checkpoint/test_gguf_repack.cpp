#include <qwen3vl/checkpoint/gguf.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/weights/traits.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace gguf_repack_test {

/// Weights of the file's matrices of type `dtype` that come out of a format otherwise than they went in, and the
/// largest relative change among them.
template <class Format>
std::pair<std::int64_t, double> changed(const std::string& name, DType dtype) {
    const auto file = checkpoint::GgufFile::open(test_data("/gguf/") + name);
    execution::Serial::Team team(1);
    std::int64_t matrices = 0, count = 0;
    double largest = 0;
    for (const auto& [tensor, view] : file.tensors()) {
        if (view.dtype != dtype) continue;
        ++matrices;
        const std::int64_t rows = view.shape[0], cols = view.shape[1];
        const auto m = weights::load<arch::native, Format>(view, tensor, rows, cols, team);
        std::vector<float> expected(static_cast<std::size_t>(cols)), found(expected.size());
        for (std::int64_t r = 0; r < rows; ++r) {
            weights::read_values(view, r * cols, cols, expected.data());
            weights::traits<Format>::template row<arch::native>(m, r, found.data());
            for (std::size_t c = 0; c < expected.size(); ++c) {
                if (expected[c] == found[c]) continue;
                ++count;
                largest = std::max(largest, std::abs(static_cast<double>(found[c]) - static_cast<double>(expected[c])) /
                                                std::abs(static_cast<double>(expected[c])));
            }
        }
    }
    CHECK(matrices > 0);
    CHECK(weights::holds_blocks<Format>(dtype) == (count == 0));
    return {count, largest};
}

TEST_CASE("formats of the same shape keep GGUF's blocks as they are") {
    CHECK(changed<weights::Int4<Group{32}>>("q4_0.gguf", DType::q4_0).first == 0);
    CHECK(changed<weights::Int8<Group{32}>>("q8_0.gguf", DType::q8_0).first == 0);
    CHECK(changed<weights::Int8<Group{32}>>("q4_0.gguf", DType::q4_0).first >
          0);  // eight of the sixteen codes do not divide 127
    const auto [count, largest] =
        changed<weights::Int4<Group{32}, weights::ZeroPoint::asymmetric>>("q4_1.gguf", DType::q4_1);
    CAPTURE(count, largest);
    CHECK(count == 0);
}

}  // namespace gguf_repack_test
